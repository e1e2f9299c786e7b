"""`facet bulk` on Ray: commands that are killed, nodes that are lost, and the results of real models."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pil

from tests.bulk.clusters import names, rows
from tests.bulk.test_schema import as_response
from tests.integration.ray_cluster.commands import ENVIRONMENT, WAIT_S

pytestmark = pytest.mark.integration

Start = Callable[..., "subprocess.Popen[str]"]

PHOTOS = sorted(Path("tests/photos").glob("*.*g"))
IMAGES = 36


@pytest.fixture(scope="module")
def cluster(ray: None) -> Iterator["subprocess.Popen[str]"]:
    """The process of a cluster of two nodes; see `nodes`."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.integration.ray_cluster.nodes", "2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="module")
def address(cluster: "subprocess.Popen[str]") -> str:
    assert cluster.stdout is not None
    found = cluster.stdout.readline().strip()
    assert found, "The cluster has not started. Ray gives up after 30 s: the machine may be busy."
    return found


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small copies of the photos, all different, and a damaged one."""
    folder = tmp_path_factory.mktemp("album")
    for i in range(IMAGES - 1):
        with Pil.open(PHOTOS[i % len(PHOTOS)]) as image:
            image.thumbnail((300 + i, 300 + i))
            image.convert("RGB").save(folder / f"{i:02d}.png")
    (folder / "damaged.png").write_bytes((folder / "00.png").read_bytes()[:5000])
    return folder


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the command; what runs at the end of the test is killed."""
    started = []

    def command(*arguments: str | Path) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "bulk", "--part-size", "2", *map(str, arguments)],
            env=ENVIRONMENT,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # What is started in the background ignores SIGINT, and so do its child processes.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
        )
        started.append(process)
        return process

    yield command
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Return the exit status and standard error of a command."""
    _, errors = process.communicate(timeout=WAIT_S)
    return process.returncode, errors


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def until_a_part(process: "subprocess.Popen[str]", output: Path) -> None:
    """Wait until a command has written a part, or has ended."""
    before = parts(output)
    until(lambda: parts(output) > before or process.poll() is not None)


def parts(output: Path) -> int:
    return len(list(output.glob("part-*")))


def printed(album: Path, task: str) -> dict[str, dict[str, Any]]:
    """Return the lines of the command that prints the results, by file."""
    command = [sys.executable, "-m", "app", task, str(album)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=WAIT_S)
    return {line["file"]: line for line in map(json.loads, done.stdout.splitlines())}


def test_kills_and_a_lost_node(
    start: Start, cluster: "subprocess.Popen[str]", address: str, album: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    options = ("--task", "embed", "--ray-address", address)
    for number in range(2):
        process = start(album, output, *options)
        until_a_part(process, output)
        assert process.poll() is None, f"{number}: {finish(process)[1]}"
        os.killpg(process.pid, signal.SIGKILL)
        finish(process)
    assert 0 < parts(output) < IMAGES // 2

    process = start(album, output, *options)
    until_a_part(process, output)
    assert cluster.stdin is not None
    assert cluster.stdout is not None
    cluster.stdin.write("\n")
    cluster.stdin.flush()
    assert cluster.stdout.readline() == "1 nodes\n"
    status, errors = finish(process)
    assert status == 1, errors
    assert "images were processed before, 0 of them failed." in errors
    assert "1 failed: truncated-image (image): " in errors

    assert sorted(names(output)) == sorted(path.name for path in album.iterdir())
    expected = printed(album, "embed")
    for row in rows(output):
        line = expected[row["file"]]
        if "problem" in line:
            assert row["problem"] == {"field": None, **line["problem"]}
        else:
            assert row["image"] == line["image"]
            assert [as_response(face) for face in row["faces"]] == line["faces"]


def test_ctrl_c(start: Start, address: str, album: Path, tmp_path: Path) -> None:
    output, copies = tmp_path / "out", 6
    for i in range(copies):  # enough that a fast machine is not done before the signal
        shutil.copytree(album, tmp_path / "albums" / str(i))
    slow = ("--task", "embed", "--orientation", "auto", "--min-face-size", "12", "--quality")
    process = start(tmp_path / "albums", output, *slow, "--ray-address", address)
    until_a_part(process, output)
    os.killpg(process.pid, signal.SIGINT)
    status, errors = finish(process)
    assert status == 130, errors
    assert "Run the same command again to continue." in errors
    assert parts(output) < copies * IMAGES // 2


def test_a_cluster_of_its_own(start: Start, cluster: object, album: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "0.png").write_bytes((album / "00.png").read_bytes())
    status, errors = finish(start(images, tmp_path / "out", "--task", "detect"))
    assert status == 0, errors
    assert names(tmp_path / "out") == ["0.png"]
    assert [line for line in errors.splitlines() if not line.startswith("facet: ")] == []
