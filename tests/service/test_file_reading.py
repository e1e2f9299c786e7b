import io
import os
import socket
import threading
from pathlib import Path

import pytest

from app.errors import BadParameter, TooManyBytes
from app.service.file_reading import file_id, read, read_head


def test_reading_stops_at_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(bytes(10))
    assert read(file, 10, "file") == bytes(10)
    with pytest.raises(TooManyBytes, match="exceeds the limit of 9 bytes"):
        read(file, 9, "file")


@pytest.mark.timeout(20)
def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "x"
    with file.open("wb") as out:
        out.truncate(1 << 40)
    with pytest.raises(TooManyBytes):
        read(file, 1 << 20, "file")
    assert read_head(str(file)) == bytes(4096)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("missing.jpg", "No such file"),
        ("x" * 300, "File name too long"),
        ("x/" * 3000, "File name too long"),
        ("", "directory"),
        ("null\0.jpg", "null"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, expected: str) -> None:
    with pytest.raises(BadParameter, match=expected) as caught:
        read(f"{tmp_path}/{name}", 9, "image_a")
    assert caught.value.field == "image_a"


@pytest.mark.timeout(20)
def test_nothing_waits_for_pipes_and_devices(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket.jpg"))
    listener.close()
    for path, kind in [
        (str(pipe), "a named pipe"),
        (f"{tmp_path}/socket.jpg", "a socket"),
        ("/dev/zero", "a device"),
    ]:
        with pytest.raises(
            BadParameter, match=f"it is {kind}, not a regular file; send its data to standard input"
        ):
            read(path, 9, "file")
        with pytest.raises(OSError, match=kind):
            read_head(path)


def test_a_pipe_that_the_shell_passes_is_read() -> None:
    output, input = os.pipe()
    with os.fdopen(output, "rb"):
        with os.fdopen(input, "wb") as file:
            file.write(b"image")
        assert read(f"/dev/fd/{output}", 9, "file") == b"image"


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xd8 image")))
    assert read("-", 9, "file") == b"\xff\xd8 image"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(bytes(10))))
    with pytest.raises(TooManyBytes, match=r"^Standard input exceeds the limit of 9 bytes\.$"):
        read("-", 9, "file")
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(BadParameter, match="Standard input cannot be read: it is closed"):
        read("-", 9, "file")


def test_a_terminal_as_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    controller, terminal = os.openpty()
    with os.fdopen(controller, "rb"), os.fdopen(terminal, "r") as stream:
        monkeypatch.setattr("sys.stdin", stream)
        with pytest.raises(BadParameter, match="it is a terminal; send a file to it"):
            read("-", 9, "file")


def test_a_file_named_like_standard_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-").write_bytes(b"file")
    assert read("./-", 9, "file") == b"file"


def test_links_have_the_identity_of_their_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "b").symlink_to("a")
    assert file_id(tmp_path / "a") == file_id(tmp_path / "b") is not None
    assert file_id(tmp_path / "c") is file_id("x" * 300) is None


@pytest.mark.timeout(20)
def test_a_writer_of_a_named_pipe_is_not_disturbed(tmp_path: Path) -> None:
    """Opening the pipe would let its writer go on, and then break it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    writer = threading.Thread(target=pipe.write_bytes, args=[b"data"], daemon=True)
    writer.start()
    with pytest.raises(BadParameter):
        read(pipe, 9, "file")
    received.append(pipe.read_bytes())
    writer.join(10)
    assert received == [b"data"]
