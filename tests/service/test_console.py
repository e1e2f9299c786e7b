import io
import os
from collections.abc import Iterator

import pytest

from app.service.console import OutputError, Progress, discard_unwritten, emit, report


@pytest.fixture
def full() -> Iterator[io.TextIOWrapper]:
    """A stream of a full disk."""
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as stream:
        yield stream
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def test_an_output_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, full: io.TextIOWrapper) -> None:
    monkeypatch.setattr("sys.stdout", full)
    with pytest.raises(
        OutputError, match=r"^Standard output cannot be written: No space left on device\.$"
    ) as caught:
        emit("line")
    assert not caught.value.closed
    discard_unwritten()
    emit("line")


def test_an_output_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        with pytest.raises(OutputError) as caught:
            emit("line")
        assert caught.value.closed
        discard_unwritten()


def test_messages_that_cannot_be_written_stop_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], full: io.TextIOWrapper
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", full)
        with Progress(2, "image") as progress:
            progress.emit("a")
            progress.emit("b")
        report("message")
        discard_unwritten()
    assert capsys.readouterr().out == "a\nb\n"


def test_without_standard_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", None)
        with Progress(2, "image") as progress:
            progress.emit("a")
        report("message")
        discard_unwritten()
    assert capsys.readouterr().out == "a\n"
