"""No byte of what was deleted is left in the files of the SQLite store."""

import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from jaxtyping import UInt64
from numpy import ndarray
from numpy.lib.stride_tricks import sliding_window_view

from app.gallery.records import Face, NewFace, Person, PersonDetails, PersonRecord
from app.gallery.sqlite.contents import LOCAL, PAGE, padded
from app.gallery.sqlite_store import SqliteStore
from tests.gallery.enrolment import CONTRACT, MODEL, no_duplicate

WINDOW = 16
"""Bytes of a secret that must not appear in a file. Those of a random one do not appear there by chance."""

READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM faces").fetchone()
print("reading", flush=True)
sys.stdin.readline()
"""
"""Another process in the middle of a transaction that reads, until it gets a line."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one, as the tests write thousands of times."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as path:
        yield Path(path)


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "gallery.db"


def windows(data: bytes) -> UInt64[ndarray, " n"]:
    """Return a hash of each sequence of `WINDOW` bytes."""
    if len(data) < WINDOW:
        return np.empty(0, np.uint64)
    words = sliding_window_view(np.frombuffer(data, np.uint8), 8).copy().view(np.uint64)[:, 0]
    return words[:-8] * np.uint64(0x9E3779B97F4A7C15) ^ words[8:] * np.uint64(0xC2B2AE3D27D4EB4F)


def found(path: Path, *secrets: Iterable[bytes]) -> list[float]:
    """Return the share of the windows of each group of secrets that are in the files of a store."""
    present = np.concatenate([windows(file.read_bytes()) for file in path.parent.glob(f"{path.name}*")])
    present = np.append(np.sort(present), np.uint64(0))
    shares = []
    for group in secrets:
        wanted = np.sort(np.concatenate([windows(secret) for secret in group]))
        places = np.searchsorted(present[:-1], wanted)
        shares.append(float((present[places] == wanted).mean()))
    return shares


@dataclass
class Randomly:
    """Changes a store at random, and knows what the store must have and what it must not have.

    Attributes:
        store: the store.
        random: the source of randomness.
        dimension: length of a vector.
        people: the secrets of the details of each person, by id.
        faces: the secrets of each face, by the ids of the person and of the face.
        deleted: the secrets of what was deleted or changed.
    """

    store: SqliteStore
    random: random.Random
    dimension: int = 64
    people: dict[str, list[bytes]] = field(default_factory=dict)
    faces: dict[tuple[str, str], list[bytes]] = field(default_factory=dict)
    deleted: list[bytes] = field(default_factory=list)

    def details(self) -> tuple[PersonDetails, list[bytes]]:
        """Return random details and their secrets."""
        name = self.random.randbytes(self.random.randint(8, 40)).hex()
        external_id = self.random.randbytes(self.random.randint(8, 16)).hex()
        note = self.random.randbytes(self.random.choice((8, 50, 400, 3000))).hex()
        known = [text.encode() for text in (name, external_id, note)]
        return PersonDetails(name, external_id, {"note": note}), known

    def face(self) -> tuple[NewFace, list[bytes]]:
        """Return a random face and its secrets."""
        vector = np.frombuffer(self.random.randbytes(4 * self.dimension), np.float32)
        source = self.random.randbytes(32)
        return NewFace(vector, (0.0, 0.0, 1.0, 1.0), 0.5, None, source), [vector.tobytes(), source]

    def enrol(self, people: int, faces: int) -> None:
        """Import people who have up to `faces` faces."""
        records = []
        now = datetime.now(UTC)
        for _ in range(people):
            details, known = self.details()
            person = Person(0, self.id(), details, 0, now)
            self.people[person.id] = known
            new = [self.face() for _ in range(self.random.randint(0, faces))]
            vectors = (
                np.stack([face.vector for face, _ in new])
                if new
                else np.empty((0, self.dimension), np.float32)
            )
            rows = []
            for face, secrets in new:
                row = Face(
                    0, self.id(), person.id, face.box, face.score, face.quality, face.source, now, None
                )
                self.faces[person.id, row.id] = secrets
                rows.append(row)
            records.append(PersonRecord(person, rows, vectors))
        self.store.import_records("staff", CONTRACT, records)

    def id(self) -> str:
        return UUID(bytes=self.random.randbytes(16)).hex

    def add_face(self) -> None:
        person = self.random.choice([*self.people])
        face, known = self.face()
        stored, _ = self.store.add_face("staff", CONTRACT, person, face, no_duplicate)
        self.faces[person, stored.id] = known

    def delete_person(self) -> None:
        person = self.random.choice([*self.people])
        self.store.delete_person("staff", person)
        self.forget(person)

    def forget(self, person: str) -> None:
        """Note that a person was deleted with all faces."""
        self.deleted += self.people.pop(person)
        for key in [key for key in self.faces if key[0] == person]:
            self.deleted += self.faces.pop(key)

    def delete_face(self) -> None:
        person, face = self.random.choice([*self.faces])
        self.store.delete_face("staff", person, face)
        self.deleted += self.faces.pop((person, face))

    def move_face(self) -> None:
        (person, face), to = self.random.choice([*self.faces]), self.random.choice([*self.people])
        self.store.move_face("staff", person, face, to)
        self.faces[to, face] = self.faces.pop((person, face))

    def merge(self) -> None:
        person, into = self.random.sample([*self.people], 2)
        self.store.merge_people("staff", person, into)
        self.deleted += self.people.pop(person)
        for key in [key for key in self.faces if key[0] == person]:
            self.faces[into, key[1]] = self.faces.pop(key)

    def update(self) -> None:
        person = self.random.choice([*self.people])
        details, known = self.details()
        self.store.update_person("staff", person, vars(details))
        self.deleted += self.people[person]
        self.people[person] = known

    def steps(self, number: int, size: int) -> None:
        """Do as many random changes, so that there are about `size` people."""
        for _ in range(number):
            growing = len(self.people) < self.random.uniform(0.7, 1.3) * size
            change = self.random.choices(
                (
                    partial(self.enrol, 1, 6),
                    self.add_face,
                    self.delete_person,
                    self.delete_face,
                    self.move_face,
                    self.update,
                    self.merge,
                ),
                (6 if growing else 1, 3, 1 if growing else 4, 3, 2, 3, 0.2),
            )[0]
            if len(self.people) < 2 or not self.faces:
                change = partial(self.enrol, 2, 6)
            change()

    @property
    def kept(self) -> list[bytes]:
        """The secrets that the store must have."""
        return [secret for secrets in (*self.people.values(), *self.faces.values()) for secret in secrets]


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[[int, int], Randomly]]:
    """Returns random changes of a new store, for a seed and a length of the vectors."""
    stores = []

    def changes(seed: int, dimension: int) -> Randomly:
        store = SqliteStore(path)
        stores.append(store)
        store.create_collection("staff", MODEL, CONTRACT, dimension)
        return Randomly(store, random.Random(seed), dimension)

    yield changes
    for store in stores:
        store.close()


@pytest.fixture
def changes(opened: Callable[[int, int], Randomly]) -> Randomly:
    return opened(1, 64)  # with this seed, rows that are stored as a whole would leave bytes


def check_erasure(changes: Randomly, path: Path) -> None:
    """Erase, and check that all that was deleted is gone and all else is there."""
    assert changes.store.erase(5)
    deleted, kept = found(path, changes.deleted, changes.kept)
    assert deleted == 0
    assert kept > 0.95  # no window is found that is on two pages
    assert changes.store.check() == []
    collection = changes.store.collection("staff")
    assert (collection.people, collection.faces) == (len(changes.people), len(changes.faces))


def test_random_changes_leave_nothing(path: Path, changes: Randomly) -> None:
    changes.enrol(150, 6)
    for _ in range(3):
        changes.steps(250, 150)
        check_erasure(changes, path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("dimension", [16, 256, 512])
def test_thousands_of_random_changes_leave_nothing(
    path: Path, opened: Callable[[int, int], Randomly], seed: int, dimension: int
) -> None:
    changes = opened(seed, dimension)
    for size in (300, 30, 500, 100):
        changes.steps(1000, size)
        check_erasure(changes, path)


def leave_all(changes: Randomly) -> None:
    """Delete each person."""
    for person in [*changes.people]:
        changes.store.delete_person("staff", person)


def leave_expired(changes: Randomly) -> None:
    """Let all people expire, and purge them."""
    now = datetime.now(UTC)
    for person in [*changes.people]:
        changes.store.update_person("staff", person, {"expires": now})
    changes.store.purge(now + timedelta(seconds=1))


@pytest.mark.parametrize(
    "delete", [leave_all, leave_expired, lambda changes: changes.store.delete_collection("staff")]
)
def test_whole_collections_leave_nothing(
    path: Path, changes: Randomly, delete: Callable[[Randomly], None]
) -> None:
    changes.enrol(100, 5)
    assert found(path, changes.kept)[0] > 0.95
    delete(changes)
    assert found(path, changes.kept)[0] > 0  # in the write-ahead log
    assert changes.store.erase(5)
    assert found(path, changes.kept) == [0]


def test_a_failed_import_leaves_nothing(path: Path, changes: Randomly) -> None:
    person = Person(0, "0" * 32, PersonDetails(metadata={"note": "x" * 30_000_000}), 0, datetime.now(UTC))
    face, (vector, _) = changes.face()
    row = Face(0, "1" * 32, person.id, face.box, face.score, None, face.source, person.created, None)

    def records() -> Iterator[PersonRecord]:
        yield PersonRecord(
            replace(person, id="2" * 32, details=PersonDetails()), [row], face.vector[np.newaxis]
        )
        yield PersonRecord(person, [], np.empty((0, 64), np.float32))  # does not fit the cache of SQLite
        raise ZeroDivisionError

    def present() -> bool:
        return any(vector in file.read_bytes() for file in path.parent.iterdir())

    with pytest.raises(ZeroDivisionError):
        changes.store.import_records("staff", CONTRACT, records())
    assert present()
    assert changes.store.erase(5)
    assert not present()


def test_a_copy_has_nothing_of_what_was_deleted(path: Path, changes: Randomly) -> None:
    changes.enrol(100, 5)
    changes.steps(200, 50)
    copy = path.with_name("copy.db")
    changes.store.backup(copy)
    deleted, kept = found(copy, changes.deleted, changes.kept)
    assert deleted == 0
    assert kept > 0.95
    changes.store.delete_collection("staff")
    changes.store.backup(path.with_name("empty.db"))
    assert path.with_name("empty.db").stat().st_size < 50_000


def test_erasure_waits_for_readers_and_continues_later(path: Path, changes: Randomly) -> None:
    changes.enrol(20, 5)
    assert changes.store.erase(5)
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdin is not None
        assert reader.stdout.readline() == b"reading\n"
        changes.delete_person()
        assert not changes.store.erase(0.05)
        assert found(path, changes.deleted)[0] > 0.95
        changes.enrol(1, 3)  # writing goes on
        reader.stdin.write(b"\n")
        reader.stdin.close()
        assert changes.store.erase(5)
    check_erasure(changes, path)


def test_other_stores_of_the_file_write_nothing_back(path: Path, changes: Randomly) -> None:
    changes.enrol(50, 5)
    other = SqliteStore(path)
    list(other.records("staff"))
    for _ in range(4):
        for _ in range(5):
            changes.delete_person()
            changes.delete_face()
            other.add_person("staff", PersonDetails("new"))
        assert other.erase(5)
        assert found(path, changes.deleted) == [0]
    other.close()


def test_contents_are_in_overflow_pages_alone() -> None:
    for length in (*range(3000), *range(8000, 10_000), *range(1_047_000, 1_050_000, 37)):
        size = len(padded(bytes(length)))
        assert length <= size <= length + PAGE
        row = 2 + _varint(12 + 2 * LOCAL) + _varint(12 + 2 * size) + LOCAL + size
        assert (row - LOCAL) % (PAGE - 4) == 0  # so that LOCAL bytes are in the cell
        assert row > PAGE - 35  # there are overflow pages


def _varint(value: int) -> int:
    """Return the length of a number in SQLite's file format."""
    return 1 + sum(value >= 1 << bits for bits in (7, 14, 21, 28))
