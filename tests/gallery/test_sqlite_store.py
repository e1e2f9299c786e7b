"""What the SQLite store does with its file. test_store_contract.py tests what every store does."""

import os
import resource
import sqlite3
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from app.errors import BadParameter, GalleryUnavailable
from app.gallery.records import Face, Person, PersonDetails, PersonRecord
from app.gallery.rules import KEPT_CHANGES, GalleryInUse
from app.gallery.sqlite.__main__ import main
from app.gallery.sqlite.database import Database
from app.gallery.sqlite_store import SqliteStore
from tests.gallery.enrolment import CONTRACT, DIMENSION, MODEL, add_face, enrol, new_face, no_duplicate


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gallery" / "gallery.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path)
    yield store
    store.close()


def execute(path: Path, *statements: str) -> None:
    """Run statements on a file, as another program would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def beside(path: Path) -> list[str]:
    """Return the names of the files in the folder of a store."""
    return sorted(file.name for file in path.parent.iterdir())


@contextmanager
def without_space() -> Iterator[None]:
    """Let no file of this process grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Let root have no more rights than others."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_only_the_owner_may_read_the_files(path: Path) -> None:
    before = os.umask(0)
    try:
        store = SqliteStore(path)
        enrol(store, "A", [1])
        copy = path.with_name("copy.db")
        store.backup(copy)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert modes == dict.fromkeys(("copy.db", "gallery.db", "gallery.db-shm", "gallery.db-wal"), 0o600)
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        store.close()
        assert beside(path) == ["copy.db", "gallery.db"]
    finally:
        os.umask(before)


def test_an_empty_file_and_a_relative_path_are_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir()
    path.touch()
    monkeypatch.chdir(path.parent)
    with closing(SqliteStore(Path("gallery.db"))) as store:
        monkeypatch.chdir("/")
        enrol(store, "A", [1])
    with closing(SqliteStore(path)) as store:
        assert store.collection("staff").faces == 1


@pytest.mark.parametrize("name", ["a b?mode=memory#%20.db", "ö.db", ":memory:"])
def test_any_name_of_a_file_is_opened(tmp_path: Path, name: str) -> None:
    with closing(SqliteStore(tmp_path / name)) as store:
        enrol(store, "A")
    assert [file.name for file in tmp_path.iterdir()] == [name]


def text_file(path: Path) -> None:
    path.write_text("This is not a database.\n" * 100)


def foreign_database(path: Path) -> None:
    execute(path, "CREATE TABLE t (x)", "INSERT INTO t VALUES (1)")


def foreign_wal_database(path: Path) -> None:
    execute(path, "PRAGMA journal_mode = WAL", "CREATE TABLE people (key)")


def newer_version(path: Path) -> None:
    SqliteStore(path).close()
    execute(path, "PRAGMA user_version = 999")


def other_pages(path: Path) -> None:
    SqliteStore(path).close()
    execute(path, "PRAGMA journal_mode = DELETE", "PRAGMA page_size = 4096", "VACUUM")


def formatted_with_other_pages(path: Path) -> None:
    execute(path, "CREATE TABLE t (x)", "DROP TABLE t")


def damaged_schema(path: Path) -> None:
    SqliteStore(path).close()
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 900)


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (text_file, "not a SQLite database"),
        (foreign_database, "another program"),
        (foreign_wal_database, "another program"),
        (newer_version, "newer version"),
        (other_pages, "4096 bytes"),
        (formatted_with_other_pages, "4096 bytes"),
        (damaged_schema, "damaged"),
        (Path.mkdir, "not a file"),
    ],
)
def test_other_files_are_refused_and_left_alone(
    path: Path, write: Callable[[Path], object], reason: str
) -> None:
    path.parent.mkdir()
    write(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(GalleryUnavailable, match=reason) as caught:
        SqliteStore(path)
    assert str(path) in caught.value.detail
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert beside(path) == [path.name]


def test_a_folder_that_cannot_be_used_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GalleryUnavailable, match="folder is a file"):
        SqliteStore(tmp_path / "file" / "gallery.db")


def test_what_may_not_be_written_is_reported(tmp_path: Path) -> None:
    # Under a folder of its own, because others may not enter the parents of tmp_path.
    folder = tmp_path / "folder"
    SqliteStore(folder / "gallery.db").close()
    for parent in (folder, *list(folder.parents)[:3]):
        parent.chmod(0o755)
    (folder / "gallery.db").chmod(0o444)
    with as_ordinary_user():
        with pytest.raises(GalleryUnavailable, match="Permission denied"):
            SqliteStore(folder / "new.db")
        with pytest.raises(GalleryUnavailable, match="user of the service"):
            SqliteStore(folder / "gallery.db")
    SqliteStore(folder / "gallery.db").close()


def test_many_threads_open_the_same_new_file(path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        stores = list(threads.map(lambda _: SqliteStore(path), range(8)))
        names = list(threads.map(lambda store: enrol(store, "A").id, stores))
    assert len(set(names)) == stores[0].collection("staff").people == 8
    for store in stores:
        store.close()


def test_threads_share_a_store(store: SqliteStore) -> None:
    store.create_collection("staff", MODEL, CONTRACT, DIMENSION)

    def work(number: int) -> None:
        person = enrol(store, f"P{number}", [number])
        assert store.person("staff", person.id) == person
        if number % 2:
            store.delete_person("staff", person.id)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(40)))
    assert (store.collection("staff").people, store.collection("staff").faces) == (20, 20)
    assert store.check() == []


def test_reading_goes_on_while_a_change_takes_its_time(store: SqliteStore) -> None:
    person = enrol(store, "A", [1])
    begun, finish = Event(), Event()

    def wait(*_: object) -> Face | None:
        begun.set()
        assert finish.wait(30)
        return None

    with ThreadPoolExecutor(1) as thread:
        change = thread.submit(store.add_face, "staff", CONTRACT, person.id, new_face(2), wait)
        assert begun.wait(30)
        before = store.version()
        assert store.person("staff", person.id) == person
        assert not store.erase(0.01)
        finish.set()
        change.result(30)
    assert store.person("staff", person.id).faces == 2
    assert store.version() != before


def test_a_writer_that_takes_too_long_is_reported(path: Path) -> None:
    database = Database(path, 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(GalleryInUse, match="Try again"), database.write():
            pass
        with database.read() as connection:
            assert connection.execute("SELECT count(*) FROM people").fetchone() == (0,)
        other.execute("ROLLBACK")
    with (
        database.write() as connection,
        pytest.raises(GalleryInUse, match="Try again"),
        database.write(),
    ):
        pass
    with database.write():
        pass
    database.close()


def test_a_gallery_is_opened_and_read_while_another_process_writes(path: Path) -> None:
    Database(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with closing(Database(path, 0.05)) as database, database.read() as connection:
            assert connection.execute("SELECT count(*) FROM people").fetchone() == (0,)
        other.execute("ROLLBACK")


def test_a_full_disk_is_reported_and_undone(store: SqliteStore) -> None:
    person = enrol(store, "A", [1])
    with without_space():
        with pytest.raises(GalleryUnavailable, match="disk"):
            store.add_face("staff", CONTRACT, person.id, new_face(2), no_duplicate)
        assert store.person("staff", person.id) == person
    assert store.check() == []
    add_face(store, person, 2)
    assert store.erase(5)


def test_only_the_latest_changes_are_known(path: Path, store: SqliteStore) -> None:
    person = enrol(store, "A", [1, 2])
    assert store.last_change() == 2
    execute(path, f"UPDATE sqlite_sequence SET seq = {KEPT_CHANGES} WHERE name = 'changes'")
    add_face(store, person, 3)
    last = KEPT_CHANGES + 1
    assert store.last_change() == last
    assert store.changes(0) is None
    known = store.changes(1)
    assert known is not None
    assert len(known[1]) == 2
    add_face(store, person, 4)
    assert store.changes(1) is None
    assert store.changes(last) is not None


def test_a_missing_file_is_reported_and_not_created_again(path: Path, store: SqliteStore) -> None:
    enrol(store, "A", [1])
    away = path.with_name("away.db")
    path.rename(away)
    for call in (store.collections, store.version, lambda: enrol(store, "B"), lambda: store.erase(1)):
        with pytest.raises(GalleryUnavailable, match="removed"):
            call()
    assert not path.exists()
    away.rename(path)
    enrol(store, "B", [2])
    assert (store.collection("staff").people, store.check()) == (2, [])


def test_a_replaced_file_is_opened_again(path: Path) -> None:
    first, second = SqliteStore(path), SqliteStore(path)
    enrol(first, "A", [1])
    copy = path.with_name("copy.db")
    first.backup(copy)
    kept = enrol(first, "B", [2, 3])
    list(second.records("staff"))
    last, versions = second.last_change(), {store.version() for store in (first, second)}
    copy.rename(path)
    for store in (second, first):
        assert store.check() == []
        assert store.version() not in versions
        assert [person.details.name for person in store.people("staff", 9)] == ["A"]
        assert store.changes(last) is None
        assert store.changes(0) is None
        assert store.check() == []
    assert second.last_change() > last
    after = first.last_change()
    person = enrol(second, "C", [4])
    assert person.id != kept.id
    changes = first.changes(after)
    assert changes is not None
    assert [change.person for change in changes[1]] == [person.key]
    first.close()
    assert second.collection("staff").people == 2
    second.close()
    assert beside(path) == ["gallery.db"]
    with closing(SqliteStore(path)) as again:
        assert again.collection("staff").people == 2


def test_a_store_of_the_same_age_has_another_version(path: Path, store: SqliteStore) -> None:
    copy = path.with_name("copy.db")
    SqliteStore(copy).close()
    before = store.version()
    copy.rename(path)
    assert store.version() != before


def test_damaged_rows_are_reported(path: Path, store: SqliteStore) -> None:
    person = enrol(store, "A", [1])
    execute(path, "UPDATE person_contents SET content = zeroblob(length(content))")
    with pytest.raises(GalleryUnavailable, match="damaged"):
        store.person("staff", person.id)
    execute(path, "UPDATE face_contents SET content = x'00'")
    with pytest.raises(GalleryUnavailable, match="damaged"):
        store.faces_by_key([1])
    with pytest.raises(GalleryUnavailable, match="damaged"):
        store.load(store.collection("staff").key, 0, 1)


def test_the_log_of_an_earlier_file_is_not_applied_to_a_backup(path: Path, store: SqliteStore) -> None:
    enrol(store, "A", [1])
    backups = [path.with_name(f"backup{number}.db") for number in range(3)]
    for backup in backups:
        store.backup(backup)
    for backup in backups:
        backup.replace(path)
        assert store.collection("staff").people == 1
        enrol(store, "B", [2])
        assert store.collection("staff").people == 2
        assert store.check() == []


def test_the_log_of_a_damaged_file_is_not_applied_to_a_backup(path: Path) -> None:
    with closing(SqliteStore(path)) as first:
        enrol(first, "A", range(20))
        first.backup(path.with_name("backup.db"))
    with closing(SqliteStore(path)) as store:
        enrol(store, "B")
        os.truncate(path, 5000)
        with pytest.raises(GalleryUnavailable, match="damaged"):
            store.load(1, 0, 100)
        path.with_name("backup.db").replace(path)
        assert [person.details.name for person in store.people("staff", 10)] == ["A"]
        assert store.check() == []


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE person_contents SET content = zeroblob(length(content)) WHERE key = 1",
        "UPDATE people SET created = 1 << 62 WHERE key = 1",
    ],
)
def test_a_damaged_row_neither_hides_changes_nor_blocks_an_erasure(
    path: Path, store: SqliteStore, damage: str
) -> None:
    enrol(store, "A", [1])
    other = enrol(store, "B", [2])
    execute(path, damage)
    with pytest.raises(GalleryUnavailable, match="damaged") as kept:  # with the frames of the query
        store.people("staff", 10)
    store.delete_person("staff", other.id)
    assert store.collection("staff").people == 1
    assert store.erase(1)
    assert kept.tb is not None


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE collections SET people = 7", "number of people"),
        ("UPDATE collections SET faces = 7", "number of faces of a collection"),
        ("UPDATE people SET faces = 7", "number of faces of a person"),
        ("DELETE FROM person_contents", "person has no content"),
        ("DELETE FROM face_contents", "face has no content"),
        ("UPDATE faces SET collection = 7", "another collection"),
        ("DELETE FROM people", "missing one"),
        ("DELETE FROM collections", "missing one"),
    ],
)
def test_the_check_finds_what_is_wrong(path: Path, store: SqliteStore, statement: str, problem: str) -> None:
    enrol(store, "A", [1])
    assert store.check() == []
    execute(path, statement)
    assert any(problem in line for line in store.check())


def test_the_check_finds_damaged_pages(path: Path, store: SqliteStore) -> None:
    enrol(store, "A", range(20))
    store.close()
    with path.open("r+b") as file:
        file.seek(-5000, os.SEEK_END)
        file.write(b"\xff" * 3000)
    with closing(SqliteStore(path)) as damaged:
        assert damaged.check() != []


def test_a_copy_is_a_gallery_and_replaces_no_file(path: Path, store: SqliteStore) -> None:
    person = enrol(store, "A", [1])
    copy = path.with_name("copy.db")
    store.backup(copy)
    before = copy.read_bytes()
    with pytest.raises(BadParameter, match="exists"):
        store.backup(copy)
    assert copy.read_bytes() == before
    with closing(SqliteStore(copy)) as opened:
        assert opened.people("staff", 9) == [person]
        assert opened.faces("staff", person.id) == store.faces("staff", person.id)
        assert opened.check() == []
    with pytest.raises(GalleryUnavailable, match="No such file"):
        store.backup(path.parent / "nowhere" / "copy.db")
    with without_space(), pytest.raises(GalleryUnavailable, match="disk"):
        store.backup(path.with_name("full.db"))
    assert beside(path) == ["copy.db", "gallery.db", "gallery.db-shm", "gallery.db-wal"]


def test_names_are_searched_in_a_large_collection(store: SqliteStore) -> None:
    store.create_collection("staff", MODEL, CONTRACT, DIMENSION)
    now, no_vectors = datetime.now(UTC), np.empty((0, DIMENSION), np.float32)
    people = (Person(0, f"{n:032x}", PersonDetails(f"No. {n:05}"), 0, now) for n in range(20_001))
    store.import_records("staff", CONTRACT, (PersonRecord(person, [], no_vectors) for person in people))

    def names(text: str, limit: int, after: int = 0) -> list[str | None]:
        return [person.details.name for person in store.people("staff", limit, after, text)]

    assert names("9999", 9) == ["No. 09999", "No. 19999"]
    assert names("9999", 1) == ["No. 09999"]
    assert names("no. 1000", 2) == ["No. 10000", "No. 10001"]
    assert names("no. 0999", 3, after=9_998) == ["No. 09998", "No. 09999"]
    assert names("no. 20000", 3) == ["No. 20000"]
    assert names("no. 2", 9, after=20_001) == []


def test_a_closed_store_is_reported(store: SqliteStore) -> None:
    store.close()
    for call in (
        store.collections,
        store.version,
        lambda: store.erase(1),
        lambda: store.add_person("x", PersonDetails()),
    ):
        with pytest.raises(GalleryUnavailable, match="closed"):
            call()


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> object:
    """Run the command line of the store, and return its exit status or message."""
    monkeypatch.setattr("sys.argv", ["x", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


def test_the_command_line_backs_up_and_checks(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    enrol(store, "A", [1, 2])
    copy = path.with_name("copy.db")
    assert command(monkeypatch, "backup", path, copy) == 0
    assert command(monkeypatch, "check", copy) == 0
    assert capsys.readouterr().out == "staff: 1 people, 2 faces\n"
    assert command(monkeypatch, "backup", path, copy) == (
        f"facet: {copy} exists already. Choose a new name for the copy."
    )
    assert command(monkeypatch, "check", path.with_name("nothing.db")) == 2
    assert not path.with_name("nothing.db").exists()
    execute(copy, "DELETE FROM face_contents")
    assert command(monkeypatch, "check", copy) == 1
    assert capsys.readouterr().out.count("A face has no content") == 2
