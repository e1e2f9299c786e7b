"""Requests that get a 503: which are sent again, when, and how long."""

import asyncio
import io
import json
import time
from pathlib import Path

import pytest

from facet_client import AsyncFacet, Facet, Problem, Unavailable, of_problem
from facet_client.calls import Retry
from facet_client.retries import RetryTimer
from tests.client.scripted import Scripted, problem, scripted

PERSON = Scripted(content=json.dumps({"id": "p", "faces": 0, "created": "2026-11-27T12:00:00Z"}).encode())
OK = Scripted(content=b'{"version": "1", "onnxruntime": "1", "python": "3", "weights": "all"}')


def wait_s(
    retry: Retry, slug: str, status: int = 503, after: float | None = 3, limit: float = 30
) -> float | None:
    error = of_problem(Problem(type=f"/facet/problems/{slug}", status=status), after)
    return RetryTimer(limit).wait_s(retry, error)


@pytest.mark.parametrize("slug", ["not-ready", "overloaded"])
def test_a_refused_request_is_sent_again_after_the_time_of_the_service(slug: str) -> None:
    assert wait_s(Retry.IF_REFUSED, slug) == wait_s(Retry.ALWAYS, slug) == 3
    assert wait_s(Retry.ALWAYS, slug, after=None) == wait_s(Retry.ALWAYS, slug, after=0) == 1
    assert wait_s(Retry.NEVER, slug) is None


@pytest.mark.parametrize("slug", ["abandoned", "out-of-memory", "later-type"])
def test_a_request_that_may_be_done_is_sent_again_only_if_it_changes_nothing(slug: str) -> None:
    assert wait_s(Retry.ALWAYS, slug) == 3
    assert wait_s(Retry.IF_REFUSED, slug) is None


@pytest.mark.parametrize(
    ("slug", "status"),
    [
        ("deadline-exceeded", 503),
        ("gallery-unavailable", 503),
        ("bad-parameter", 422),
        ("internal-error", 500),
    ],
)
def test_other_requests_are_not_sent_again(slug: str, status: int) -> None:
    assert wait_s(Retry.ALWAYS, slug, status) is None


def test_the_time_of_all_attempts_is_limited() -> None:
    assert wait_s(Retry.ALWAYS, "overloaded", after=3, limit=3.5) == 3
    assert wait_s(Retry.ALWAYS, "overloaded", after=4, limit=3.5) is None
    assert wait_s(Retry.ALWAYS, "overloaded", limit=0) is None
    timer = RetryTimer(1.05)
    error = of_problem(Problem(type="/problems/overloaded", status=503), 1)
    assert timer.wait_s(Retry.ALWAYS, error) == 1
    time.sleep(0.1)
    assert timer.wait_s(Retry.ALWAYS, error) is None


def test_both_clients_send_a_refused_change_again() -> None:
    answers = [problem("overloaded"), PERSON]
    with scripted(answers) as (url, received), Facet(url) as facet:
        start = time.monotonic()
        assert facet.add_person("c", name="Ada").id == "p"
        assert time.monotonic() - start >= 1
        assert [one.body for one in received] == [b'{"name":"Ada"}'] * 2

    async def main() -> None:
        with scripted(answers) as (url, received):
            async with AsyncFacet(url) as facet:
                start = time.monotonic()
                assert (await facet.add_faces("c", "p", io.BytesIO(b"image"))).results == []
                assert time.monotonic() - start >= 1
            assert [one.body.count(b"image\r\n") for one in received] == [1, 1]  # the file was read once

    answers = [problem("not-ready"), Scripted(content=b'{"results": []}')]
    asyncio.run(main())


def test_a_refused_import_is_sent_again_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl"
    path.write_bytes(b"0123456789" * 20_000)
    collection = {"name": "c", "model": "m", "contract": "m-1", "usable": True, "people": 0, "faces": 0}
    answer = {"collection": {**collection, "created": "2026-11-27T12:00:00Z"}, "people": 0, "faces": 0}
    answers = [problem("not-ready"), Scripted(content=json.dumps(answer).encode())]
    with scripted(answers) as (url, received), Facet(url) as facet, path.open("rb") as file:
        file.seek(5)
        facet.import_collection("c", file)
        assert [len(one.body) for one in received] == [199_995] * 2
        assert received[0].headers["Content-Type"] == "application/x-ndjson"


def test_an_import_that_cannot_be_read_twice_is_sent_once() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    with (
        scripted([problem("not-ready")]) as (url, received),
        Facet(url) as facet,
        pytest.raises(Unavailable, match="not-ready"),
    ):
        facet.import_collection("c", Pipe(b"{}"))
    assert [one.body for one in received] == [b"{}"]


def test_without_time_nothing_is_sent_again() -> None:
    with (
        scripted([problem("overloaded", retry_after="7")]) as (url, _),
        Facet(url, retry_for_s=0) as facet,
        pytest.raises(Unavailable, match=r"overloaded \(503\): It is wrong\.") as caught,
    ):
        facet.version()
    assert caught.value.retry_after_s == 7
    assert caught.value.request_id == "r1"


def test_a_purge_and_health_checks_are_sent_once() -> None:
    with scripted([problem("overloaded")] * 3) as (url, received), Facet(url) as facet:
        for send in (facet.readyz, facet.livez, lambda: facet.purge("c")):
            with pytest.raises(Unavailable):
                send()
    assert len(received) == 3


def test_a_503_of_a_proxy_repeats_only_what_changes_nothing() -> None:
    proxy = Scripted(503, b"<html>", {"Content-Type": "text/html"})
    with scripted([proxy, OK, proxy]) as (url, received), Facet(url) as facet:
        assert facet.version().version == "1"
        with pytest.raises(Unavailable, match="A proxy sent it"):
            facet.delete_collection("c")
    assert len(received) == 3
