"""Exports to files: complete or not at all."""

import asyncio
import io
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from facet_client import AsyncFacet, ConnectionFailed, Facet, NotFound, UnexpectedAnswer
from facet_client.models import ExportSummary
from facet_client.transfers import ExportFile, File, chunks_of
from tests.client.scripted import Scripted, problem, scripted

LINES = b'{"format": "facet-collection"}\n' + b'{"person": {"id": "x"}}\n' * 10_000
COMPLETE = Scripted(content=LINES + b'{"end": true, "people": 10000, "faces": 7}\n')

Export = Callable[[str, File], ExportSummary]


def export(url: str, target: File) -> ExportSummary:
    with Facet(url) as facet:
        return facet.export_collection("c", target)


def export_async(url: str, target: File) -> ExportSummary:
    async def main() -> ExportSummary:
        async with AsyncFacet(url) as facet:
            return await facet.export_collection("c", target)

    return asyncio.run(main())


both = pytest.mark.parametrize("run", [export, export_async])


@both
def test_a_complete_export_replaces_the_file_and_is_private(run: Export, tmp_path: Path) -> None:
    path = tmp_path / "family.jsonl"
    path.write_text("old")
    path.chmod(0o644)
    with scripted([COMPLETE]) as (url, _):
        summary = run(url, path)
    assert (summary.people, summary.faces) == (10_000, 7)
    assert path.read_bytes() == COMPLETE.content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@both
@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_only_a_regular_file_is_replaced(run: Export, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "family.jsonl"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null")
    before = path.lstat().st_ino
    with scripted([COMPLETE]) as (url, received):
        with pytest.raises(OSError, match="it is not a regular file; name another path, or pass a file obj"):
            run(url, path)
        assert received == []
    assert path.lstat().st_ino == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_takes_the_place_of_the_file_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "family.jsonl"
    with ExportFile(path) as file:
        file.write(COMPLETE.content)
        os.mkfifo(path)
        with pytest.raises(OSError, match="it is not a regular file"):
            file.finish()
    assert path.is_fifo()
    assert list(tmp_path.iterdir()) == [path]


@both
def test_a_file_may_have_a_long_name(run: Export, tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    with scripted([COMPLETE]) as (url, _):
        run(url, path)
    assert path.read_bytes() == COMPLETE.content
    with scripted([]) as (url, received):
        with pytest.raises(OSError, match="File name too long"):
            run(url, tmp_path / ("x" * 256))
        assert received == []


@both
def test_an_export_is_written_to_a_file_object(run: Export) -> None:
    file = io.BytesIO()
    with scripted([COMPLETE]) as (url, _):
        assert run(url, file).faces == 7
    assert file.getvalue() == COMPLETE.content


@both
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Scripted(content=COMPLETE.content, cut=True), ConnectionFailed),
        (Scripted(content=LINES), UnexpectedAnswer),
        (Scripted(content=LINES + b'{"end": true, "people": 100'), UnexpectedAnswer),
        (Scripted(content=b'{"person": {}, "people": 1, "faces": 1}\n'), UnexpectedAnswer),
        (Scripted(content=b""), UnexpectedAnswer),
        (problem("unknown-id", 404), NotFound),
    ],
)
def test_an_incomplete_export_leaves_the_file_as_it_was(
    run: Export, tmp_path: Path, answer: Scripted, kind: type[Exception]
) -> None:
    path = tmp_path / "family.jsonl"
    path.write_text("old")
    with scripted([answer]) as (url, _), pytest.raises(kind):
        run(url, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_refused_export_is_asked_for_again(tmp_path: Path) -> None:
    with scripted([problem("overloaded"), COMPLETE]) as (url, received):
        assert export(url, tmp_path / "x").people == 10_000
    assert len(received) == 2


def test_a_missing_file_is_an_error_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        chunks_of(tmp_path / "none.jsonl")
    with scripted([]) as (url, received), Facet(url) as facet:
        with pytest.raises(FileNotFoundError):
            facet.import_collection("c", tmp_path / "none.jsonl")
        with pytest.raises(FileNotFoundError):
            facet.detect(tmp_path / "none.jpg")
    assert received == []


def test_a_cancelled_import_does_not_wait_for_its_file() -> None:
    is_reading, may_end = threading.Event(), threading.Event()

    class Slow(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: object) -> int:
            is_reading.set()
            may_end.wait(30)
            return 0

    async def main() -> None:
        transport = httpx.MockTransport(lambda request: httpx.Response(500))
        async with httpx.AsyncClient(transport=transport) as http:
            importing = asyncio.create_task(
                AsyncFacet(http=http).import_collection("c", io.BufferedReader(Slow()))
            )
            try:
                await asyncio.to_thread(is_reading.wait, 30)
                importing.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await importing
            finally:
                may_end.set()

    asyncio.run(main())
