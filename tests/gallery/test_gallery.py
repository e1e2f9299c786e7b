"""The gallery: what it answers, and what it keeps, if its store or its index fails."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import DeadlineExceeded, GalleryUnavailable, UnknownId
from app.gallery.gallery import Gallery
from app.gallery.index import Match, VectorIndex
from app.gallery.indexes import Indexes
from app.gallery.records import Collection, NewFace, Person, PersonDetails, PersonRecord
from app.gallery.rules import GalleryInUse
from app.gallery.sqlite_store import SqliteStore
from app.logs import AUDIT
from app.runtime.request_context import RequestContext
from app.runtime.search_net import SearchSession
from app.runtime.telemetry import Telemetry
from app.runtime.timing import Timing
from tests.fakes import CPU

NOW = datetime(2030, 1, 1, tzinfo=UTC)
VECTOR = np.array([0.1, -0.7, 0.5, 0.5], np.float32)


class FailingStore(SqliteStore):
    """A store some of whose methods fail.

    Attributes:
        failing: names of the methods.
    """

    failing: frozenset[str] = frozenset()

    def __getattribute__(self, name: str) -> object:
        if name != "failing" and name in self.failing:
            raise GalleryUnavailable("The disk failed.")
        return super().__getattribute__(name)

    def fail(self, *names: str) -> None:
        self.failing = frozenset(names)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="module")
def session() -> SearchSession:
    return SearchSession(CPU)


@pytest.fixture
def store(tmp_path: Path) -> FailingStore:
    return FailingStore(tmp_path / "gallery.db")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def indexes() -> list[VectorIndex]:
    """The indexes that were made."""
    return []


@pytest.fixture
def gallery(
    store: FailingStore, session: SearchSession, clock: Clock, indexes: list[VectorIndex]
) -> Iterator[Gallery]:
    """A gallery with the collection family, whose index is loaded."""

    def new_index(dimension: int) -> VectorIndex:
        indexes.append(VectorIndex(dimension, session))
        return indexes[-1]

    opened = Gallery(lambda: store, new_index, {"fused": "fused-1"}, now=clock)
    opened.create_collection("family", "fused", 4)
    opened.tick()
    yield opened
    opened.close()


def family(gallery: Gallery) -> Collection:
    return gallery.usable("family")


def enrol(gallery: Gallery, expires: datetime | None = None, face_expires: datetime | None = None) -> Person:
    """Add a person with the face of `VECTOR`."""
    person = gallery.add_person("family", PersonDetails("Ada", expires=expires))
    face = NewFace(VECTOR, (0, 0, 9, 9), 0.9, None, b"0" * 32, face_expires)
    gallery.add_face(family(gallery), person.id, face, None)
    return person


def found(gallery: Gallery) -> list[int]:
    """The keys of the people whom a search finds."""
    (matches,) = gallery.search(family(gallery), VECTOR[None], 5)
    return [match.person for match in matches]


def is_on_disk(folder: Path) -> bool:
    """Whether a file of the gallery has the vector."""
    return any(VECTOR.tobytes() in path.read_bytes() for path in folder.iterdir())


def audited(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The actions in the audit log."""
    return [record.getMessage().split()[1] for record in caplog.records if record.name == AUDIT]


@pytest.mark.parametrize("step", ["version", "changes", "next_expiry"])
def test_a_deletion_that_the_index_cannot_follow_is_made_and_erased(
    gallery: Gallery,
    store: FailingStore,
    indexes: list[VectorIndex],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    step: str,
) -> None:
    person = enrol(gallery)
    assert is_on_disk(tmp_path)
    store.fail(step)
    with caplog.at_level(logging.INFO):
        assert gallery.delete_person("family", person.id)
    assert not is_on_disk(tmp_path)
    assert audited(caplog) == ["action=delete-person"]
    assert "The disk failed." in caplog.text
    assert [len(index) for index in indexes] == [0]
    store.fail("version")
    with pytest.raises(GalleryUnavailable):
        found(gallery)
    store.fail()
    assert found(gallery) == []


def test_an_addition_that_the_index_cannot_follow_is_made(
    gallery: Gallery, store: FailingStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.fail("changes")
    with caplog.at_level(logging.INFO, AUDIT):
        person = enrol(gallery)
    assert audited(caplog) == ["action=add-person", "action=add-face"]
    store.fail()
    assert found(gallery) == [person.key]


def test_a_purge_that_the_index_cannot_follow_is_made_and_erased(
    gallery: Gallery, store: FailingStore, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    person = enrol(gallery, expires=NOW + timedelta(seconds=1))
    clock.now += timedelta(seconds=2)
    store.fail("changes")
    with caplog.at_level(logging.INFO, AUDIT):
        (purged,) = gallery.purge("family")
    assert purged.people == [person.id]
    assert audited(caplog) == ["action=expire-person"]
    assert not is_on_disk(tmp_path)


def test_a_deletion_whose_bytes_cannot_be_erased_is_made_and_erased_later(
    gallery: Gallery, store: FailingStore, tmp_path: Path
) -> None:
    person = enrol(gallery)
    store.fail("erase")
    assert not gallery.delete_person("family", person.id)
    assert is_on_disk(tmp_path)
    with pytest.raises(GalleryUnavailable):
        gallery.tick()
    store.fail()
    gallery.tick()
    assert not is_on_disk(tmp_path)


def test_a_deletion_of_unknown_outcome_is_erased_later(
    gallery: Gallery, store: FailingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = enrol(gallery)
    gallery.tick()

    def lost(collection: str, person: str) -> None:
        SqliteStore.delete_person(store, collection, person)
        raise GalleryUnavailable("The connection was lost.")

    monkeypatch.setattr(store, "delete_person", lost)
    with pytest.raises(GalleryUnavailable):
        gallery.delete_person("family", person.id)
    assert is_on_disk(tmp_path)
    gallery.tick()
    assert not is_on_disk(tmp_path)


def searching_while(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object], times: int = 1
) -> list[int]:
    """Return what a search finds if other threads do something each time it has chosen its index."""
    plain, left = VectorIndex.search, [meanwhile] * times

    def search(self: VectorIndex, *rest: Any) -> list[list[Match]]:
        if left:
            left.pop()()
        return plain(self, *rest)

    monkeypatch.setattr(VectorIndex, "search", search)
    return found(gallery)


def replaced_by_a_backup(gallery: Gallery, folder: Path) -> None:
    """Put a backup in place of the file, and let another request notice it."""
    gallery.store.backup(folder / "copy.db")
    (folder / "copy.db").replace(folder / "gallery.db")
    gallery.refresh()


def test_a_search_during_a_reload_finds_the_people(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = enrol(gallery)
    meanwhile = partial(replaced_by_a_backup, gallery, tmp_path)
    assert searching_while(gallery, monkeypatch, meanwhile) == [person.key]


def test_a_search_during_a_failed_refresh_finds_the_people(
    gallery: Gallery, store: FailingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = enrol(gallery)

    def failed() -> None:
        store.fail("changes")
        gallery.add_person("family", PersonDetails("Bob"))
        store.fail()

    assert searching_while(gallery, monkeypatch, failed) == [person.key]


def test_a_search_that_is_disturbed_twice_is_reported(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(gallery)
    with pytest.raises(GalleryUnavailable, match=r"Try again later\.$"):
        searching_while(gallery, monkeypatch, partial(replaced_by_a_backup, gallery, tmp_path), 2)


def test_a_search_between_a_refresh_and_the_choice_of_the_index_finds_the_people(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = enrol(gallery)
    plain, left = Indexes.search, [True]

    def search(self: Indexes, *rest: Any) -> list[list[Match]]:
        if left:
            left.pop()
            self.forget()
        return plain(self, *rest)

    monkeypatch.setattr(Indexes, "search", search)
    assert found(gallery) == [person.key]


def test_a_collection_that_lost_its_faces_before_a_search_has_nobody(gallery: Gallery) -> None:
    person = enrol(gallery)
    before = family(gallery)
    gallery.delete_person("family", person.id)
    assert gallery.search(before, VECTOR[None], 5) == [[]]


@pytest.fixture
def busy(store: FailingStore, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Says whether another process holds the lock for changes."""

    def purge(*_: object) -> None:
        raise GalleryInUse("Another change of the gallery takes a long time. Try again later.")

    def set_busy(is_busy: bool) -> None:
        monkeypatch.setattr(store, "purge", purge if is_busy else partial(SqliteStore.purge, store))

    return set_busy


class States(Telemetry):
    """Keeps the latest state of the gallery.

    Attributes:
        state: whether it is available, and whether something is still to be erased.
    """

    state: tuple[bool, bool] | None = None

    def gallery_state(self, usable: bool, erasing: bool) -> None:
        self.state = usable, erasing


@pytest.mark.parametrize("of_face", [False, True])
def test_what_has_expired_is_not_found_while_it_cannot_be_deleted(
    gallery: Gallery, clock: Clock, busy: Callable[[bool], None], tmp_path: Path, of_face: bool
) -> None:
    gallery.telemetry = states = States()
    end = NOW + timedelta(seconds=1)
    person = enrol(gallery, face_expires=end) if of_face else enrol(gallery, expires=end)
    other = gallery.add_person("family", PersonDetails("Bob"))
    face = NewFace(VECTOR[::-1].copy(), (0, 0, 9, 9), 0.9, None, b"1" * 32)
    gallery.add_face(family(gallery), other.id, face, None)
    clock.now = end - timedelta(microseconds=1)
    assert found(gallery) == [person.key, other.key]
    busy(True)
    clock.now = end
    assert found(gallery) == [other.key]
    if of_face:
        assert gallery.best_face(family(gallery), person.id, VECTOR) is None
    else:
        with pytest.raises(UnknownId):
            gallery.best_face(family(gallery), person.id, VECTOR)
    gallery.tick()
    assert gallery.is_available
    assert states.state == (True, True)
    assert is_on_disk(tmp_path)
    busy(False)
    gallery.tick()
    assert states.state == (True, False)
    assert not is_on_disk(tmp_path)
    assert found(gallery) == [other.key]


def test_a_search_changes_nothing(gallery: Gallery, store: FailingStore, clock: Clock) -> None:
    person = enrol(gallery, face_expires=NOW + timedelta(seconds=1))
    face = NewFace(VECTOR[::-1].copy(), (0, 0, 9, 9), 0.9, None, b"1" * 32)
    kept, _ = gallery.add_face(family(gallery), person.id, face, None)
    clock.now += timedelta(seconds=2)
    store.fail("purge")
    assert found(gallery) == [person.key]
    best = gallery.best_face(family(gallery), person.id, VECTOR)
    assert best is not None
    assert best[0].id == kept.id
    assert store.person("family", person.id).faces == 2


def test_a_later_time_lets_a_person_be_found_again(
    gallery: Gallery, store: FailingStore, clock: Clock, busy: Callable[[bool], None]
) -> None:
    person = enrol(gallery, expires=NOW + timedelta(seconds=1))
    busy(True)
    clock.now += timedelta(seconds=2)
    assert found(gallery) == []
    gallery.update_person("family", person.id, {"expires": None})
    assert found(gallery) == [person.key]


def test_an_import_ends_at_the_deadline(gallery: Gallery) -> None:
    enrol(gallery)
    (record,) = gallery.records("family")
    context = RequestContext()
    timing = Timing(context)
    read: list[int] = []

    def records() -> Iterator[PersonRecord]:
        for number in range(10):
            read.append(number)
            if number == 3:
                context.expire()
            yield replace(
                record,
                person=replace(record.person, id=f"{number:032x}"),
                faces=[],
                vectors=record.vectors[:0],
            )

    timing.begin_job()
    try:
        with pytest.raises(DeadlineExceeded, match="was dropped"):
            gallery.import_records(family(gallery), records())
    finally:
        timing.end_job()
    assert read == [0, 1, 2, 3]
    assert gallery.sizes().people == 1


def test_a_change_that_waits_until_the_deadline_is_not_made(gallery: Gallery, tmp_path: Path) -> None:
    timing = Timing(RequestContext(deadline=time.monotonic() + 0.2))
    other = sqlite3.connect(tmp_path / "gallery.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")  # as another process that imports
    release = threading.Timer(0.5, other.execute, ("ROLLBACK",))
    release.start()
    timing.begin_job()
    try:
        with pytest.raises(DeadlineExceeded, match="was dropped"):
            gallery.add_person("family", PersonDetails("Ada"))
    finally:
        timing.end_job()
        release.join()
        other.close()
    assert gallery.sizes().people == 0
