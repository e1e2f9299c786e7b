"""Freed memory goes back to the system."""

import asyncio
import ctypes
import sys

import pytest

from app.runtime import memory_trim


@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc")
def test_it_is_returned_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    class Library:
        malloc_trim = staticmethod(calls.append)

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library)
    monkeypatch.setattr(memory_trim, "_INTERVAL_S", 0.001)

    async def run() -> None:
        task = asyncio.create_task(memory_trim.trim_memory())
        await asyncio.sleep(0.1)
        task.cancel()

    asyncio.run(run())
    assert len(calls) > 1
    assert set(calls) == {0}


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    asyncio.run(memory_trim.trim_memory())
