"""The gallery with real processes: two workers, a kill of the service, and raw bytes after a deletion."""

import base64
import json
import signal
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.integration.workers import all_ready
from tests.processes import SERVE, is_ready, process
from tests.servers import http, until

pytestmark = pytest.mark.integration

MODELS = "cascade,fused"
PHOTOS = Path("tests/photos")
OBAMA, OTHER, BIDEN = (
    PHOTOS.joinpath(name).read_bytes() for name in ("obama.jpg", "obama2.jpg", "biden.jpg")
)


def enrol(url: str, image: bytes, name: str) -> str:
    """Add a person with a face, each on a new connection, and return the path of the person."""
    answer = http.post(f"{url}/collections/c/people", json={"name": name}, timeout=30)
    path = f"{url}/collections/c/people/{answer.json()['id']}"
    added = http.post(f"{path}/faces", files={"image": image}, timeout=60)
    assert "face" in added.json()["results"][0], added.text
    return path


def identified(url: str, image: bytes) -> str | None:
    """Return the name of the person in an image, asked on a new connection."""
    answer = http.post(f"{url}/collections/c/identify", files={"image": image}, timeout=60)
    (face,) = answer.json()["faces"]
    return face["person"] and face["person"]["name"]


def parts(vector: bytes, content: bytes) -> int:
    """Return how many pieces of 16 bytes of a vector are in the content. Pages of the file may divide it."""
    return sum(vector[start : start + 16] in content for start in range(0, len(vector) - 16, 4))


def test_every_worker_knows_the_latest_change(tmp_path: Path) -> None:
    settings = {"gallery": tmp_path / "g.db", "models": MODELS, "workers": 2, "threads": 1}
    with process(*SERVE, **settings) as (_, url, _lines):
        until(lambda: all_ready(url), 120)
        http.put(f"{url}/collections/c", timeout=30)
        for turn in range(4):
            person = enrol(url, OBAMA, f"Obama {turn}")
            assert {identified(url, OTHER) for _ in range(6)} == {f"Obama {turn}"}
            assert {identified(url, BIDEN) for _ in range(2)} == {None}
            assert http.delete(person, timeout=30).status_code == 204
            assert {identified(url, OTHER) for _ in range(6)} == {None}


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    settings = {"gallery": tmp_path / "g.db", "models": MODELS}
    people: list[str] = []
    with process(*SERVE, **settings) as (running, url, _):
        until(lambda: is_ready(url), 120)
        http.put(f"{url}/collections/c", timeout=30)
        enrol(url, OBAMA, "Obama")

        def add_many() -> None:
            try:
                while True:
                    answer = http.post(f"{url}/collections/c/people", json={}, timeout=30)
                    people.append(answer.json()["id"])
            except httpx.TransportError:
                return

        adding = threading.Thread(target=add_many)
        adding.start()
        until(lambda: len(people) > 20)
        running.send_signal(signal.SIGKILL)
        adding.join(30)
    with process(*SERVE, **settings) as (_, url, _lines):
        until(lambda: is_ready(url), 120)
        listed = http.get(f"{url}/collections/c/people", params={"limit": 1000}, timeout=30).json()["people"]
        found = {person["id"] for person in listed}
        assert set(people) <= found
        assert len(found) <= len(people) + 2  # Obama, and one that was stored but not answered
        assert identified(url, OTHER) == "Obama"


def test_no_byte_of_a_deleted_person_is_left(tmp_path: Path) -> None:
    settings = {"gallery": tmp_path / "g.db", "models": MODELS}
    with process(*SERVE, **settings) as (_, url, _lines):
        until(lambda: is_ready(url), 120)
        http.put(f"{url}/collections/c", timeout=30)
        person = enrol(url, OBAMA, "Barack Obama the 44th")
        enrol(url, BIDEN, "Joe Biden the 46th")
        lines = http.get(f"{url}/collections/c/export", timeout=30).content.splitlines()
        vectors = {
            record["person"]["name"]: base64.b64decode(record["faces"][0]["embedding"])
            for record in map(json.loads, lines[1:-1])
        }
        assert len(np.frombuffer(vectors["Joe Biden the 46th"], "<f4")) == 256
        assert http.delete(person, timeout=30).status_code == 204
        kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        exported = http.get(f"{url}/collections/c/export", timeout=30).content
    everything = b"".join([*kept.values(), exported])
    assert b"Joe Biden the 46th" in everything
    assert parts(vectors["Joe Biden the 46th"], everything) > 200
    assert b"Barack" not in everything
    assert parts(vectors["Barack Obama the 44th"], everything) == 0


def test_a_read_only_place_leaves_the_rest_working(tmp_path: Path) -> None:
    settings = {"gallery": "/proc/nowhere/g.db", "models": MODELS}
    with process(*SERVE, **settings) as (_, url, _lines):
        until(lambda: is_ready(url), 120)
        answer = http.put(f"{url}/collections/c", timeout=30)
        assert answer.status_code == 503
        assert answer.json()["type"] == "/problems/gallery-unavailable"
        assert http.post(f"{url}/detect", files={"image": OBAMA}, timeout=60).status_code == 200
