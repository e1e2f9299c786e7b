"""A process that changes a gallery until it is killed, and says what it does.

Each line on standard input has a seed, a prefix and a number of seconds. For each, a child process works on
the people whose external ids begin with the prefix. It prints every change before it begins, and `done` after
it was acknowledged. At the end `ended` is printed. A child starts within milliseconds, as all modules are
imported.
"""

import json
import os
import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from app.errors import GalleryUnavailable
from app.gallery.records import Face, Person, PersonDetails, PersonRecord
from app.gallery.store import GalleryStore
from tests.gallery.enrolment import CONTRACT, DIMENSION, MODEL, new_face, no_duplicate, vector
from tests.integration.gallery_stores import open_store

SIZE = 40
"""About so many people are in the gallery."""


def say(message: object) -> None:
    """Print a line at once; a pipe takes it as a whole."""
    os.write(1, f"{json.dumps(message)}\n".encode())


def _records(store: GalleryStore) -> list[PersonRecord]:
    """Return all people, read again if another process merges people meanwhile."""
    while True:
        try:
            return list(store.records("staff"))
        except GalleryUnavailable:
            continue


class Writer:
    """Changes the people whose external ids begin with a prefix.

    Args:
        store: the store.
        seed: of the random changes.
        prefix: the prefix.
    """

    def __init__(self, store: GalleryStore, seed: int, prefix: str) -> None:
        self._store, self._random, self._prefix = store, random.Random(seed), prefix
        self._next = seed * 10_000
        store.create_collection("staff", MODEL, CONTRACT, DIMENSION)
        self._people: dict[str, tuple[str, dict[int, str]]] = {}
        for record in _records(store):
            external_id = record.person.details.external_id or ""
            if external_id.startswith(prefix):
                faces = {int.from_bytes(face.source, "big"): face.id for face in record.faces}
                self._people[external_id] = record.person.id, faces

    def change(self) -> None:
        """Do a random change."""
        full = [name for name, (_, faces) in self._people.items() if faces]
        changes: list[Callable[[], None]] = [self._add, self._import]
        if self._people:
            changes += [self._add_face] * 4
        if len(self._people) > 1:
            changes += [self._delete] * (4 if len(self._people) > SIZE else 1) + [self._merge]
        if full:
            changes += [self._delete_face] * 2 + [self._move]
        self._random.choice(changes)()
        say("done")

    def _number(self) -> int:
        self._next += 1
        return self._next

    def _anyone(self, with_faces: bool = False) -> str:
        return self._random.choice(
            [name for name, known in self._people.items() if known[1] or not with_faces]
        )

    def _add(self) -> None:
        name = f"{self._prefix}{self._number()}"
        say(["add", {name: []}])
        details = PersonDetails(f"Name {name}", name, {"note": "x" * self._random.choice((1, 3000))})
        self._people[name] = self._store.add_person("staff", details).id, {}

    def _add_face(self) -> None:
        name, number = self._anyone(), self._number()
        say(["add", {name: [number]}])
        id, faces = self._people[name]
        face, _ = self._store.add_face("staff", CONTRACT, id, new_face(number), no_duplicate)
        faces[number] = face.id

    def _import(self) -> None:
        new = {f"{self._prefix}{self._number()}": [self._number() for _ in range(4)] for _ in range(3)}
        say(["add", new])
        now = datetime.now(UTC)
        records = []
        for name, numbers in new.items():
            id = f"{self._number():032x}"
            faces = {number: f"{number:032x}" for number in numbers}
            self._people[name] = id, faces
            person = Person(0, id, PersonDetails(None, name), 0, now)
            rows = [
                Face(0, face, id, (0, 0, 1, 1), 0.5, None, number.to_bytes(32, "big"), now, None)
                for number, face in faces.items()
            ]
            records.append(PersonRecord(person, rows, np.stack([vector(number) for number in numbers])))
        self._store.import_records("staff", CONTRACT, records)

    def _delete(self) -> None:
        name = self._anyone()
        say(["delete", name])
        self._store.delete_person("staff", self._people.pop(name)[0])

    def _delete_face(self) -> None:
        name = self._anyone(with_faces=True)
        id, faces = self._people[name]
        number = self._random.choice([*faces])
        say(["delete_face", name, number])
        self._store.delete_face("staff", id, faces.pop(number))

    def _move(self) -> None:
        name, to = self._anyone(with_faces=True), self._anyone()
        number = self._random.choice([*self._people[name][1]])
        say(["move", name, number, to])
        face = self._people[name][1].pop(number)
        self._store.move_face("staff", self._people[name][0], face, self._people[to][0])
        self._people[to][1][number] = face

    def _merge(self) -> None:
        name, into = self._random.sample([*self._people], 2)
        say(["merge", name, into])
        id, faces = self._people.pop(name)
        self._store.merge_people("staff", id, self._people[into][0])
        self._people[into][1].update(faces)


def main(address: str) -> None:
    """Start a child for each line on standard input, and wait for its end."""
    for line in sys.stdin:
        seed, prefix, seconds = json.loads(line)
        pid = os.fork()
        if pid == 0:
            end = time.monotonic() + seconds
            store = open_store(address)
            writer = Writer(store, seed, prefix)
            say("begun")
            while time.monotonic() < end:
                writer.change()
            os._exit(0)  # without closing the store
        say(pid)
        os.waitpid(pid, 0)
        say("ended")


if __name__ == "__main__":
    main(sys.argv[1])
