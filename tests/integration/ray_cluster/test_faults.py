"""`facet bulk` with a wrong address and with an image that kills its process; its use of the network."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bulk.clusters import names
from tests.integration.isolated import run as run_isolated
from tests.integration.isolated import why_not
from tests.integration.ray_cluster.commands import ENVIRONMENT, WAIT_S
from tests.integration.ray_cluster.process_tree import LOOPBACK, descendants, listening

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("ray")]

PHOTO = Path("tests/photos/obama2.jpg")
REASON = why_not()


def bulk(*arguments: str | Path, module: str = "app", **variables: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", module, "bulk", *map(str, arguments)]
    environment = {**ENVIRONMENT, **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=WAIT_S)


@pytest.mark.parametrize(
    ("accepts", "within_s"), [(False, 60), pytest.param(True, 120, marks=pytest.mark.slow)]
)
def test_no_cluster_at_the_address(tmp_path: Path, accepts: bool, within_s: float) -> None:
    """Most of the first time is that of loading models; in the second, Ray waits 30 s for an answer."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        if not accepts:
            server.close()
        start = time.monotonic()
        done = bulk(PHOTO, tmp_path / "out", "--task", "detect", "--ray-address", address)
        assert time.monotonic() - start < within_s
    assert (done.returncode, done.stdout) == (1, "")
    (message,) = done.stderr.splitlines()
    assert message.startswith(f"facet: The Ray cluster {address} cannot be used: ")
    assert ("Connection refused." in message) is not accepts
    assert message.endswith("FACE_RAY_ADDRESS, or --ray-address of facet bulk: local or host:port.")


def test_an_image_that_kills_its_process(tmp_path: Path) -> None:
    album, output = tmp_path / "album", tmp_path / "out"
    album.mkdir()
    for name in ("a.jpg", "b.jpg", "deadly.png"):
        (album / name).write_bytes(PHOTO.read_bytes())
    options = ("--task", "detect", "--part-size", "1")
    deadly = "tests.integration.ray_cluster.deadly"
    done = bulk(album, output, *options, module=deadly)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert (album / "deadly.png.log").read_text().splitlines() == ["killed"] * 4
    message = done.stderr.splitlines()[-1]
    assert message.startswith("facet: The process of an actor has died 4 times on the same part. Perhaps an")
    assert "Traceback" not in done.stderr
    assert "raylet" not in done.stderr

    (album / "deadly.png").write_bytes(b"no image")
    done = bulk(album, output, *options)
    assert done.returncode == 1, done.stderr
    assert "1 failed: not-an-image (image): " in done.stderr
    assert sorted(names(output)) == ["a.jpg", "b.jpg", "deadly.png"]


def test_its_own_cluster_listens_on_loopback_only(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "app", "bulk", str(PHOTO), str(tmp_path / "out"), "--task", "detect"]
    found: set[str] = set()
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            found |= listening(descendants(process.pid))
            time.sleep(0.2)
    assert process.returncode == 0
    assert len(found) >= 2
    assert found <= LOOPBACK


@pytest.mark.skipif(REASON is not None, reason=str(REASON))
def test_it_contacts_nobody(tmp_path: Path) -> None:
    report = run_isolated("bulk", tmp_path, FACE_DEVICE="cpu")
    assert report.faces == 1
    assert report.addresses == []
    assert report.home == [".ray/auth_token"]  # the key of Ray's own cluster
    assert not any(report.counters.values()), report
