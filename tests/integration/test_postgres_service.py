"""Services on one PostgreSQL database: replicas, a server that goes away, and the command line."""

import json
import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from app.gallery.sqlite_store import SqliteStore
from tests.integration.test_gallery_processes import BIDEN, MODELS, OBAMA, OTHER, enrol, identified
from tests.postgres import PASSWORD, QUOTED_PASSWORD, Server
from tests.processes import SERVE, is_ready, process
from tests.servers import http, until

pytestmark = pytest.mark.integration


def facet(gallery: str, *arguments: str) -> str:
    """Run a command of the command line, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        env={**os.environ, "FACE_GALLERY": gallery},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def state(url: str) -> tuple[int, str, str | None]:
    """Return what `/readyz` says."""
    answer = http.get(f"{url}/readyz", timeout=30)
    body = answer.json()
    return answer.status_code, body["status"], body.get("gallery")


def test_replicas_share_a_gallery_and_outlive_the_server(postgres: Server) -> None:
    settings = {"gallery": postgres.tcp_uri(), "models": MODELS, "threads": 2}
    with (
        process(*SERVE, **settings) as (_, first, lines),
        process(*SERVE, **settings, gallery_search="hnsw") as (_, second, _lines),
    ):
        until(lambda: is_ready(first) and is_ready(second), 180)
        http.put(f"{first}/collections/c", timeout=30)
        for turn in range(2):
            person = enrol(first, OBAMA, f"Obama {turn}")
            assert identified(second, OTHER) == identified(first, OTHER) == f"Obama {turn}"
            assert identified(second, BIDEN) is None
            assert http.delete(person.replace(first, second), timeout=30).status_code == 204
            assert identified(first, OTHER) is None
        enrol(second, OBAMA, "Obama")
        acknowledged: list[str] = []
        refused: list[int] = []
        ended = threading.Event()

        def add_many() -> None:
            while not ended.is_set():
                answer = http.post(f"{first}/collections/c/people", json={}, timeout=30)
                if answer.status_code == 201:
                    acknowledged.append(answer.json()["id"])
                else:
                    refused.append(answer.status_code)
                    assert answer.json()["type"] == "/problems/gallery-unavailable", answer.text
                    assert int(answer.headers["retry-after"]) > 0

        adding = threading.Thread(target=add_many)
        adding.start()
        until(lambda: len(acknowledged) > 10, 60)
        postgres.kill()
        for url in (first, second):
            until(lambda url=url: state(url) == (200, "degraded", "unavailable"), 30)
        assert http.post(f"{first}/detect", files={"image": OBAMA}, timeout=60).status_code == 200
        assert http.post(f"{second}/collections/c/identify", files={"image": OBAMA}).status_code == 503
        postgres.start()
        for url in (first, second):
            until(lambda url=url: state(url) == (200, "ready", None), 30)
        before = len(acknowledged)
        until(lambda: len(acknowledged) > before + 5, 60)
        ended.set()
        adding.join(30)
        listed = http.get(f"{second}/collections/c/people", params={"limit": 1000}, timeout=30).json()
        found = {person["id"] for person in listed["people"]}
        assert set(acknowledged) <= found
        assert set(refused) == {503}
        assert len(found) <= len(acknowledged) + len(refused) + 1
        assert identified(first, OTHER) == identified(second, OTHER) == "Obama"
        log = "".join(lines + _lines)
    assert "The gallery cannot be used" in log
    assert PASSWORD not in log
    assert QUOTED_PASSWORD not in log


def test_a_start_without_the_server_serves_the_rest(postgres: Server) -> None:
    uri = postgres.tcp_uri().replace(f":{postgres.port}/", ":1/")
    with process(*SERVE, gallery=uri, models="cascade") as (_, url, lines):
        until(lambda: is_ready(url), 120)
        assert state(url) == (200, "degraded", "unavailable")
        answer = http.get(f"{url}/collections", timeout=30)
        assert answer.status_code == 503
        assert "Check the address" in answer.json()["detail"]
        assert http.post(f"{url}/detect", files={"image": OBAMA}, timeout=60).status_code == 200
        assert QUOTED_PASSWORD not in "".join(lines) + answer.text


def test_a_gallery_moves_from_a_file_to_a_database_and_back(postgres: Server, tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("a.db", "b.db")]
    people = tmp_path / "people" / "Barack Obama"
    people.mkdir(parents=True)
    (people / "1.jpg").write_bytes(OBAMA)
    facet(files[0], "enrol", str(people.parent), "-c", "family")
    exports = [str(tmp_path / f"{number}.jsonl") for number in range(2)]
    facet(files[0], "collections", "export", "family", exports[0])
    imported = json.loads(facet(postgres.uri(), "collections", "import", exports[0]))
    assert (imported["people"], imported["faces"]) == (1, 1)
    facet(postgres.uri(), "collections", "export", "family", exports[1])
    facet(files[1], "collections", "import", exports[1])
    first, second = (Path(export).read_text().splitlines()[1:] for export in exports)
    assert first == second
    with closing(SqliteStore(Path(files[1]))) as store:
        assert [person.details.name for person in store.people("family", 9)] == ["Barack Obama"]
    (found,) = facet(postgres.uri(), "collections", "people", "family").splitlines()
    person = json.loads(found)["id"]
    deleted = json.loads(facet(postgres.uri(), "collections", "delete-person", "family", person))
    assert deleted == {"collection": "family", "person": person}
    with pytest.raises(AssertionError, match="pg_dump"):
        facet(postgres.uri(), "collections", "backup", str(tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()


def test_a_malformed_address_stops_the_start() -> None:
    done = subprocess.run(
        [sys.executable, *SERVE],
        env={**os.environ, "FACE_GALLERY": "postgresql://u:secret%zz@h/d", "FACE_MODELS": "cascade"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert "not a valid address" in done.stderr
    assert "secret" not in done.stderr
