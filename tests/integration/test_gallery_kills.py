"""Processes that use one store: killed, at the same time, without space."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import IO, Any

import numpy as np
import pytest

from app.gallery.records import FaceChange
from app.gallery.sqlite_store import SqliteStore
from app.gallery.store import GalleryStore
from tests.gallery.enrolment import vector
from tests.integration import isolated
from tests.integration.gallery_stores import open_store, problems
from tests.postgres import Server

pytestmark = pytest.mark.integration

KILLS = {"sqlite": 100, "postgres": 12}
LONGEST_S = {"sqlite": 0.2, "postgres": 1.0}
"""Maximum seconds until a kill."""

State = dict[str, set[int]]
"""The numbers of the faces of each person, by external id."""

START = """
import sys
from pathlib import Path
from app.gallery.records import FaceChange
from app.gallery.sqlite_store import SqliteStore
from app.gallery.store import GalleryStore
from tests.gallery.enrolment import enrol
sys.stdin.readline()
enrol(SqliteStore(Path(sys.argv[1])), "A", [1])
"""
"""Opens a store after a line on standard input, and enrols a person."""

ENROL = """
import sys, time
from contextlib import suppress
from pathlib import Path
from app.errors import UnknownId
from app.gallery.records import FaceChange
from app.gallery.sqlite_store import SqliteStore
from app.gallery.store import GalleryStore
from tests.gallery.enrolment import enrol
store = SqliteStore(Path(sys.argv[1]))
print("begun", flush=True)
end = time.monotonic() + 5
while time.monotonic() < end:
    with suppress(UnknownId):  # the person was in the replaced file
        enrol(store, "A", [1])
"""
"""Enrols people for five seconds."""

FILL = """
import sys
from pathlib import Path
from app.errors import GalleryUnavailable
from app.gallery.records import FaceChange
from app.gallery.sqlite_store import SqliteStore
from app.gallery.store import GalleryStore
from tests.gallery.enrolment import add_face, enrol
folder = Path(sys.argv[1])
store = SqliteStore(folder / "gallery.db")
person, faces = enrol(store, "A"), 0
try:
    while True:
        add_face(store, person, faces)
        faces += 1
except GalleryUnavailable as error:
    assert "disk" in error.detail, error.detail
assert faces > 100, faces
assert len(store.faces("staff", person.id)) == store.person("staff", person.id).faces == faces
assert store.check() == [], store.check()
(folder / "ballast").unlink()
add_face(store, person, faces)
store.delete_person("staff", person.id)
assert store.erase(5)
print("full at", faces, flush=True)
"""
"""Fills the disk of a folder with faces, makes space, and goes on."""


def applied(state: State, change: list[Any]) -> State:
    """Return the people and faces after a change, as `gallery_writer` prints it."""
    state = deepcopy(state)
    match change:
        case ["add", new]:
            for name, numbers in new.items():
                state.setdefault(name, set()).update(numbers)
        case ["delete", name]:
            del state[name]
        case ["delete_face", name, number]:
            state[name].remove(number)
        case ["move", name, number, to]:
            state[name].remove(number)
            state[to].add(number)
        case ["merge", name, into]:
            state[into] |= state.pop(name)
    return state


@dataclass
class Replica:
    """What an index knows of the store from its changes: the person of each face, by key."""

    last: int = 0
    people: dict[int, int] = field(default_factory=dict)

    def take(self, last: int, changes: list[FaceChange]) -> None:
        """Take over changes."""
        self.last = last
        for change in changes:
            if change.person is None:
                del self.people[change.face]
            else:
                self.people[change.face] = change.person

    def follow(self, store: GalleryStore) -> None:
        """Read the changes, and compare with all faces of the store."""
        changes = store.changes(self.last)
        assert changes is not None
        self.take(*changes)
        loaded = store.load(store.collection("staff").key, 0, 10**6)
        assert dict(zip(loaded.faces, loaded.people, strict=True)) == self.people


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty store."""
    if request.param == "sqlite":
        return str(tmp_path / "gallery.db")
    server: Server = request.getfixturevalue("postgres")
    return server.uri()


def state_of(address: str, replica: Replica) -> State:
    """Open a store, check it, and return its people and faces."""
    state: State = {}
    with closing(open_store(address)) as store:
        assert problems(address) == []
        for record in store.records("staff"):
            numbers = [int.from_bytes(face.source, "big") for face in record.faces]
            np.testing.assert_array_equal(
                record.vectors, [vector(number) for number in numbers] or record.vectors
            )
            state[record.person.details.external_id or ""] = set(numbers)
        replica.follow(store)
    return state


@contextmanager
def writers(address: str) -> Iterator["subprocess.Popen[str]"]:
    """Run `gallery_writer`."""
    command = [sys.executable, "-m", "tests.integration.gallery_writer", address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        stream(process.stdin).close()
        assert process.wait(30) == 0


def stream(pipe: IO[str] | None) -> IO[str]:
    """Return the pipe of a process."""
    assert pipe is not None
    return pipe


def run(
    process: "subprocess.Popen[str]", seed: int, prefix: str, kill_after: float | None, seconds: float = 60
) -> list[Any]:
    """Let a child of `gallery_writer` work, and return what it printed.

    Args:
        process: the writer.
        seed: of its changes.
        prefix: of the external ids of its people.
        kill_after: seconds after its first change when it is killed; None if it is not.
        seconds: how long it works otherwise.
    """
    print(json.dumps([seed, prefix, seconds]), file=stream(process.stdin), flush=True)
    lines = map(json.loads, iter(stream(process.stdout).readline, ""))
    pid = next(lines)
    printed: list[Any] = []
    for line in lines:
        if line == "ended":
            return printed
        if line == "begun" and kill_after is not None:
            Timer(kill_after, os.kill, (pid, signal.SIGKILL)).start()
        printed.append(line)
    raise AssertionError("the writer ended")


def outcomes(state: State, printed: list[Any]) -> tuple[list[State], int]:
    """Return what may be in the store, as the last change may be done or not; and the number acknowledged."""
    assert printed[0] == "begun"
    changes = [line for line in printed[1:] if line != "done"]
    done = printed.count("done")
    assert done <= len(changes) <= done + 1
    for change in changes[:done]:
        state = applied(state, change)
    return [state, *(applied(state, change) for change in changes[done:])], done


def test_a_killed_process_loses_nothing_and_leaves_nothing_half(
    address: str, request: pytest.FixtureRequest
) -> None:
    replica, source = Replica(), random.Random(0)
    kind = request.node.callspec.params["address"]
    kills = KILLS[kind]
    state: State = {}
    total = 0
    with writers(address) as process:
        for round in range(kills):
            printed = run(process, round + 1, "", source.uniform(0, LONGEST_S[kind]))
            possible, done = outcomes(state, printed)
            state = state_of(address, replica)
            assert state in possible, (round, printed[-2:])
            total += done
    assert total > 3 * kills
    assert len(state) > 10


def test_two_processes_write_at_once_and_one_is_killed(address: str) -> None:
    replica = Replica()
    states: dict[str, State] = {"a": {}, "b": {}}
    acknowledged = {"a": 0, "b": 0}
    with writers(address) as first, writers(address) as second, ThreadPoolExecutor(2) as threads:
        for round in range(8):
            runs = {
                "a": threads.submit(run, first, 2 * round + 1, "a", 0.3),
                "b": threads.submit(run, second, 2 * round + 2, "b", None, 1),
            }
            possible = {}
            for prefix, running in runs.items():
                possible[prefix], done = outcomes(states[prefix], running.result(60))
                acknowledged[prefix] += done
            assert len(possible["b"]) == 1
            whole = state_of(address, replica)
            for prefix in states:
                states[prefix] = {name: faces for name, faces in whole.items() if name.startswith(prefix)}
                assert states[prefix] in possible[prefix]
    assert min(acknowledged.values()) > 50


def test_processes_open_the_same_new_file_at_once(tmp_path: Path) -> None:
    for number in range(3):
        path = tmp_path / f"{number}" / "gallery.db"
        command = [sys.executable, "-c", START, str(path)]
        running = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(6)
        ]
        for process in running:
            print(file=stream(process.stdin), flush=True)
        assert [process.communicate(timeout=60)[1] for process in running] == [""] * len(running)
        with closing(SqliteStore(path)) as store:
            assert store.collection("staff").people == store.collection("staff").faces == len(running)


def test_a_file_that_is_replaced_while_it_is_used_is_not_mixed_with_the_old_one(tmp_path: Path) -> None:
    path, copy = tmp_path / "gallery.db", tmp_path / "copy.db"
    command = [sys.executable, "-c", ENROL, str(path)]
    with closing(SqliteStore(path)) as store:
        running = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        for process in running:
            assert stream(process.stdout).readline() == "begun\n"
        for _ in range(12):
            store.backup(copy)
            copy.rename(path)
            time.sleep(0.3)
            assert store.check() == []
        assert [process.communicate(timeout=60)[1] for process in running] == ["", ""]
        assert store.check() == []
        assert store.collection("staff").people > 20


@pytest.mark.skipif(isolated.why_not() is not None, reason=str(isolated.why_not()))
def test_a_full_disk_loses_nothing_and_the_next_call_works(tmp_path: Path) -> None:
    script = (
        "mount -t tmpfs -o size=3m tmpfs $1 && dd if=/dev/zero of=$1/ballast bs=1M count=1 status=none && "
        "exec $2 -c $3 $1"
    )
    done = subprocess.run(
        [
            "unshare",
            "-rm",
            "sh",
            "-c",
            script.replace("$3", '"$3"'),
            "sh",
            str(tmp_path),
            sys.executable,
            FILL,
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "full at" in done.stdout
