"""The command line, with real models: as a function, and as a process."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from app.cli import cli
from tests.api.pictures import picture, sentence
from tests.stores import write_store

PHOTOS = Path("tests/photos")
OBAMA, AGAIN, BIDEN = (str(PHOTOS / f"{name}.jpg") for name in ("obama", "obama2", "biden"))

LISTED = ("cascade", "mtcnn", "mesh68", "landmarks15", "sface", "dlib", "fused", "triplet")


def run(*arguments: str, input: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, [*arguments], input=input)


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(text) for text in result.stdout.splitlines()]


def test_detect() -> None:
    result = run("detect", OBAMA, "--min-face-size", "60", "--max-faces", "1", "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    (entry,) = lines(result)
    assert list(entry) == ["file", "image", "faces", "model", "timing_ms"]
    assert entry["file"] == OBAMA
    assert len(entry["faces"]) == 1


def test_landmarks_drawn_into_a_folder(tmp_path: Path) -> None:
    result = run("landmarks", AGAIN, "--min-face-size", "60", "--draw", str(tmp_path / "out"))
    assert result.exit_code == 0, result.stderr
    (entry,) = lines(result)
    assert entry["scheme"] in ("ibug68", "kaggle15")
    assert Path(entry["drawn"]).read_bytes().startswith(b"\xff\xd8\xff")


def test_embed() -> None:
    (entry,) = lines(run("embed", AGAIN, "--min-face-size", "60"))
    assert len(entry["faces"][0]["embedding"]) == entry["dimension"]


def test_a_bad_file_among_good_ones(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff but no picture")
    result = run("detect", str(tmp_path), AGAIN, "--min-face-size", "60")
    assert result.exit_code == 1
    bad, good = lines(result)
    assert bad["problem"]["type"] == "/problems/truncated-image"
    assert len(good["faces"]) == 1


@pytest.mark.parametrize(("other", "same"), [(AGAIN, True), (BIDEN, False)])
def test_verify(other: str, same: bool) -> None:
    result = run("verify", OBAMA, other)
    assert result.exit_code == 0
    (entry,) = lines(result)
    assert (entry["file_a"], entry["file_b"], entry["verified"]) == (OBAMA, other, same)


def test_verify_without_a_face() -> None:
    result = run("verify", OBAMA, "app/api/no-such-file.jpg")
    assert result.exit_code == 1
    assert lines(result)[0]["problem"]["field"] == "image_b"


@pytest.mark.parametrize("command", ["detect", "landmarks", "embed"])
def test_standard_input(command: str) -> None:
    result = run(command, "-", "--min-face-size", "60", input=Path(AGAIN).read_bytes())
    assert result.exit_code == 0, result.stderr
    (entry,) = lines(result)
    assert (entry["file"], len(entry["faces"])) == ("-", 1)
    (entry,) = lines(run(command, "-", input=b""))
    assert entry["problem"]["detail"] == "The image is empty. Send an encoded image."


def test_verify_with_standard_input() -> None:
    (entry,) = lines(run("verify", "-", AGAIN, input=Path(OBAMA).read_bytes()))
    assert (entry["file_a"], entry["file_b"], entry["verified"]) == ("-", AGAIN, True)


@pytest.mark.parametrize("command", ["detect - -", "verify - -", f"detect - {OBAMA} -"])
def test_standard_input_is_one_image(command: str) -> None:
    result = run(*command.split(), input=Path(OBAMA).read_bytes())
    assert (result.exit_code, result.stdout) == (2, "")
    assert "name it once" in result.stderr


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("detect", "Name image files or folders, or - for standard input, as in: facet detect photos"),
        ("landmarks", "Name image files or folders, or - for standard input, as in: facet landmarks photos"),
        (
            "embed --max-faces 1",
            "Name image files or folders, or - for standard input, as in: facet embed photos",
        ),
        ("verify", "Name two image files, as in: facet verify first.jpg second.jpg"),
        (f"verify {OBAMA}", "Name two image files, as in: facet verify first.jpg second.jpg"),
    ],
)
def test_without_files(command: str, expected: str) -> None:
    result = run(*command.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"facet: {expected}\n"


def test_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    listed = {"mtcnn", "cascade", "landmarks15", "triplet"}
    monkeypatch.setenv("FACE_MODELS_DIR", str(write_store(tmp_path, listed)))
    models = lines(run("models"))
    assert {model["name"] for model in models} == listed
    assert {"detect", "landmarks", "embed"} == {model["task"] for model in models}
    assert all(len(file["sha256"]) == 64 for model in models for file in (model, *model["files"]))


def test_models_of_two_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folders = [tmp_path / "shipped", tmp_path / "own"]
    for folder, listed in zip(folders, (["cascade", "mesh68"], ["landmarks15", "triplet"]), strict=True):
        folder.mkdir()
        write_store(folder, listed)
    monkeypatch.setenv("FACE_MODELS_DIR", os.pathsep.join(map(str, folders)))
    models = lines(run("models"))
    assert [model["name"] for model in models] == ["cascade", "mesh68", "landmarks15", "triplet"]
    assert [model["name"] for model in models if model["default"]] == ["cascade", "mesh68", "triplet"]
    (answer,) = lines(run("landmarks", AGAIN, "--model", "landmarks15"))
    assert (answer["model"], answer["detector"]) == ("landmarks15", "cascade")
    (folders[1] / "manifest.json").write_bytes((folders[0] / "manifest.json").read_bytes())
    clash = run("models")
    assert clash.exit_code == 1
    assert clash.stderr.startswith(
        f"facet: cannot start: The model cascade is in {folders[0]} and in {folders[1]}."
    )
    assert clash.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("detect AGAIN", ["cascade"]),
        ("detect AGAIN --model mtcnn", ["mtcnn"]),
        ("landmarks AGAIN", ["cascade", "mesh68"]),
        ("landmarks AGAIN --model landmarks15", ["cascade", "landmarks15"]),
        ("landmarks AGAIN --model landmarks15 --pose", ["cascade", "landmarks15", "mesh68"]),
        ("detect AGAIN --pose", ["cascade", "", "mesh68"]),
        ("detect AGAIN --quality", ["cascade", "", "mesh68", "sface", "dlib", "fused"]),
        ("embed AGAIN", ["cascade", "fused", "sface", "dlib", "mesh68"]),
        ("embed AGAIN --model dlib", ["cascade", "dlib", "mesh68"]),
        ("verify AGAIN AGAIN", ["cascade", "fused", "sface", "dlib", "mesh68"]),
        ("verify AGAIN AGAIN --model dlib", ["cascade", "dlib", "mesh68"]),
    ],
)
def test_a_command_opens_only_the_models_it_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, needed: list[str]
) -> None:
    """The folder lists all models, and has only the files of those that the command needs."""
    store = write_store(tmp_path, LISTED, present=[name for name in needed if name])
    monkeypatch.setenv("FACE_MODELS_DIR", str(store))
    arguments = [AGAIN if word == "AGAIN" else word for word in command.split()]
    result = run(*arguments)
    assert result.exit_code == 0, (result.stdout[:500], result.stderr)
    (entry,) = lines(result)
    used = {entry[key] for key in ("model", "detector") if key in entry}
    assert used == {needed[0], needed[1] if len(needed) > 1 and needed[1] else needed[0]}
    for option in ("pose", "quality"):
        given = option in entry["faces"][0] if "faces" in entry else False
        assert given is (f"--{option}" in command)
    for path in list(store.glob(f"{needed[-1]}*.onnx")):
        path.unlink()
    without = run(*arguments)
    assert without.exit_code == 1
    assert without.stderr.startswith("facet: cannot start: ")


def test_the_settings_choose_the_models_of_a_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(
        "FACE_MODELS_DIR", str(write_store(tmp_path, LISTED, present=["mtcnn", "landmarks15"]))
    )
    monkeypatch.setenv("FACE_DETECTOR", "mtcnn")
    monkeypatch.setenv("FACE_LANDMARKS", "landmarks15")
    result = run("landmarks", AGAIN)
    assert result.exit_code == 0, result.stderr
    (entry,) = lines(result)
    assert (entry["model"], entry["detector"]) == ("landmarks15", "mtcnn")


def test_the_command_line_imports_nothing_of_http() -> None:
    program = (
        "import sys, app.cli\n"
        "names = {name.partition('.')[0] for name in sys.modules}\n"
        "sys.exit(str(sorted(names & {'fastapi', 'starlette', 'uvicorn', 'h11', 'prometheus_client'})))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stderr == "[]\n"


def test_options_are_checked_as_the_api_checks_its_parameters() -> None:
    result = run("detect", OBAMA, "--min-face-size", "3")
    assert result.exit_code == 2
    assert "min_face_size" in result.stderr
    assert run("verify", OBAMA, AGAIN, "--far", "2").exit_code == 2


def test_a_setting_that_names_an_unknown_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACE_MODELS_DIR", str(write_store(tmp_path, LISTED, present=[])))
    monkeypatch.setenv("FACE_DETECTOR", "nobody")
    result = run("detect", OBAMA)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(
        "facet: cannot start: No model for detect is named 'nobody'. Choose one of: "
    )
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "known"),
    [
        (["detect", AGAIN], {"cascade", "mtcnn"}),
        (["landmarks", AGAIN], {"mesh68", "landmarks15"}),
        (["embed", AGAIN], {"sface", "dlib", "fused", "triplet"}),
        (["verify", AGAIN, AGAIN], {"sface", "dlib", "fused", "triplet"}),
    ],
)
def test_an_unknown_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str], known: set[str]
) -> None:
    monkeypatch.setenv("FACE_MODELS_DIR", str(write_store(tmp_path, LISTED, present=[])))
    result = run(*command, "--model", "nobody")
    assert result.exit_code == 1
    (entry,) = lines(result)
    assert entry["problem"]["type"] == "/problems/unknown-model"
    assert entry["problem"]["known"] == sorted(known)
    assert entry["problem"]["field"] == "model"
    assert "nobody" in entry["problem"]["detail"]
    sentence(entry["problem"]["detail"])


@pytest.mark.parametrize("command", [["landmarks", AGAIN], ["embed", AGAIN], ["verify", AGAIN, AGAIN]])
def test_a_task_without_a_model(monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.setenv("FACE_MODELS", "mtcnn")
    result = run(*command)
    assert result.exit_code == 1
    (entry,) = lines(result)
    assert entry["problem"]["type"] == "/problems/unknown-model"
    assert entry["problem"]["known"] == []
    assert run("detect", AGAIN, "--min-face-size", "60").exit_code == 0


def test_a_bad_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACE_PORT", "eighty")
    for command in (["serve"], ["models"]):
        result = run(*command)
        assert result.exit_code == 2
        assert result.stderr.startswith("facet: FACE_PORT:")


@pytest.mark.parametrize("command", ["serve", "models", f"detect {OBAMA}", f"verify {OBAMA} {AGAIN}"])
def test_an_unknown_variable_stops_every_command(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("FACE_API_KEY", "a-key-of-some-length")
    result = run(*command.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("facet: FACE_API_KEY: This is not a setting")
    assert "FACE_API_KEYS?" in result.stderr
    assert "a-key-of-some-length" not in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [["serve"], ["detect", OBAMA]])
def test_no_thread_is_left(monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    result = run(*command)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("facet: cannot start: Facet needs ")
    assert "the system allows only 0" in result.stderr
    assert result.stderr.count("\n") == 1


def test_models_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACE_MODELS_DIR", str(tmp_path))
    result = run("models")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "facet: cannot start:" in result.stderr
    assert "manifest.json" in result.stderr


@pytest.mark.parametrize(("given", "used"), [(None, "1"), ("4", "4")])
def test_the_library_of_numpy_starts_no_threads(given: str | None, used: str) -> None:
    others = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    program = (
        "import os, sys\n"
        "from app.__main__ import main\n"
        "assert 'numpy' not in sys.modules\n"
        "sys.argv = ['facet', '--help']\n"
        "try: main()\n"
        "finally: print(os.environ['OPENBLAS_NUM_THREADS'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=others | ({} if given is None else {"OPENBLAS_NUM_THREADS": given}),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[-1] == used


def test_help_tells_of_every_command() -> None:
    text = run("--help").stdout
    for command in ("serve", "detect", "landmarks", "embed", "verify", "calibrate", "models"):
        assert command in text


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an image that has many names."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "0.jpg").write_bytes(picture())
    for i in range(1, 2000):
        (folder / f"{i}.jpg").hardlink_to(folder / "0.jpg")
    return folder


def start(*arguments: str) -> "subprocess.Popen[bytes]":
    """Start a command that Ctrl-C ends, even if the shell that runs the tests ignores the signal."""
    return subprocess.Popen(
        [sys.executable, "-m", "app", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )


def test_a_closed_pipe_ends_a_run_quietly(many: Path) -> None:
    with start("detect", str(many)) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert json.loads(running.stdout.readline())["faces"] == []
        running.stdout.close()
        messages = running.stderr.read()
    assert running.returncode == 141
    assert b"Traceback" not in messages
    assert b"facet:" not in messages


def test_ctrl_c_ends_a_run_with_its_summary(many: Path) -> None:
    with start("detect", str(many)) as running:
        assert running.stdout is not None
        running.stdout.readline()
        running.send_signal(signal.SIGINT)
        output, messages = running.communicate(timeout=60)
    assert running.returncode == 130
    assert b"Traceback" not in messages
    found = re.search(rb"facet: Interrupted after (\d+) of 2000 files.\nfacet: (\d+) images? read", messages)
    assert found is not None
    assert found[1] == found[2]
    assert int(found[1]) - output.count(b"\n") in (
        1,
        2,
    )  # the first line was read before, the last may be missing


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_for_the_output(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "app", "detect", AGAIN]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=60)
        assert done.returncode == 1
        assert done.stderr == b"facet: Standard output cannot be written: No space left on device.\n"
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, timeout=60)
        assert done.returncode == 0
        assert json.loads(done.stdout)["faces"]


def test_names_that_the_console_cannot_show(tmp_path: Path) -> None:
    folder = tmp_path / "顔 \udcff"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(picture())
    (folder / "b.jpg").write_bytes(b"text")
    done = subprocess.run(
        [sys.executable, "-m", "app", "detect", str(folder), "x" * 300],
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 1
    entries = [json.loads(text) for text in done.stdout.decode("utf-8").splitlines()]
    assert ["problem" in entry for entry in entries] == [False, True, True]
    assert "顔 \ufffd/a.jpg" in entries[0]["file"]
    assert b"facet: 1 image read, 2 failed, 0 left out." in done.stderr


def test_as_a_process(tmp_path: Path) -> None:
    """`serve` with a damaged store ends with one line and a code, and leaves no server behind."""
    done = subprocess.run(
        [sys.executable, "-m", "app", "serve", "--port", "0"],
        env={**os.environ, "FACE_MODELS_DIR": str(tmp_path), "FACE_LOG_FORMAT": "text"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (critical,) = [text for text in done.stderr.splitlines() if text.startswith("CRITICAL")]
    assert "cannot start" in critical
    assert "manifest.json" in critical
