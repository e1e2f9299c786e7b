"""The store in PostgreSQL: faults of the server and the set-up, replicas, erasure, backups, search."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

from app.errors import FacetError, GalleryLimit, GalleryUnavailable, UnknownId
from app.gallery.gallery import Gallery
from app.gallery.index import VectorIndex, best_people
from app.gallery.postgres import schema, search
from app.gallery.postgres.connections import Connections
from app.gallery.postgres.search import StoreSearch, index_name
from app.gallery.postgres_store import PostgresStore
from app.gallery.records import Limits, PersonDetails
from app.gallery.rules import GalleryInUse
from app.gallery.store import GalleryStore
from app.runtime.device import Device
from app.runtime.search_net import SearchSession
from tests.gallery.enrolment import CONTRACT, DIMENSION, MODEL, add_face, enrol, vector
from tests.integration.test_gallery_kills import Replica
from tests.postgres import PASSWORD, QUOTED_PASSWORD, Server

pytestmark = pytest.mark.integration


@pytest.fixture
def store(postgres: Server) -> Iterator[PostgresStore]:
    with closing(PostgresStore(postgres.uri())) as opened:
        yield opened


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that a test may kill."""
    server = Server().start()
    server.sql("CREATE EXTENSION vector")
    yield server
    server.remove()


def failure(uri: str, limits: Limits = Limits()) -> str:  # noqa: B008
    """Return the message of a store that cannot be used, which must not take long."""
    begun = time.monotonic()
    with pytest.raises(GalleryUnavailable) as caught, closing(PostgresStore(uri, limits)) as store:
        store.create_collection("staff", MODEL, CONTRACT, DIMENSION)
    assert time.monotonic() - begun < 10
    for secret in (PASSWORD, QUOTED_PASSWORD, "wrong-password"):
        assert secret not in caught.value.detail
    return caught.value.detail


def maintain(uri: str, command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of `app.gallery.postgres`."""
    return subprocess.run(
        [sys.executable, "-m", "app.gallery.postgres", command],
        env={**os.environ, "FACE_GALLERY": uri},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_address_that_is_malformed_is_refused_without_its_password() -> None:
    for uri in (
        f"postgresql://user:{PASSWORD}%zz@host/x",
        f"postgresql://user:{QUOTED_PASSWORD}@host/x?nothing=1",
        "postgres://[::1/x",
    ):
        assert "valid address" in failure(uri)


def test_a_server_that_is_not_there_is_named(postgres: Server) -> None:
    uri = postgres.tcp_uri().replace(f":{postgres.port}/", ":1/")
    assert "Check the address" in failure(uri)


def test_a_wrong_password_or_database_is_named(postgres: Server) -> None:
    assert "password" in failure(postgres.tcp_uri(password="wrong-password"))
    assert "Check the user and the password" in failure(postgres.tcp_uri(password="wrong-password"))
    assert "Create it" in failure(postgres.tcp_uri(database="nothing"))
    assert "Check the user and the password" in failure(postgres.tcp_uri(user="nobody"))


def test_a_user_without_rights_is_told_what_a_superuser_must_do(postgres: Server) -> None:
    postgres.sql("CREATE ROLE modest LOGIN")
    postgres.sql("CREATE DATABASE bare OWNER modest")
    try:
        detail = failure(postgres.uri("bare", "modest"))
        assert "superuser" in detail
        assert detail.endswith("`CREATE EXTENSION vector`.")
        postgres.sql("CREATE EXTENSION vector", "bare")
        modest = PostgresStore(postgres.uri("bare", "modest"), search=StoreSearch(40, 0))
        with closing(modest) as store:  # now it suffices to own the database
            person = enrol(store, "A", [1])
            (match,) = store.search(store.collection("staff"), vector(1)[None], 1)[0]
            assert match.person == person.key
        postgres.sql("CREATE ROLE other LOGIN", "bare")
        assert "lacks a right" in failure(postgres.uri("bare", "other"))
        postgres.sql("ALTER ROLE other SET default_transaction_read_only = on", "bare")
        assert "primary" in failure(postgres.uri("bare", "other"))
    finally:
        postgres.sql("DROP DATABASE bare WITH (FORCE)")
        postgres.sql("DROP ROLE modest")
        postgres.sql("DROP ROLE IF EXISTS other")


def test_a_database_of_another_encoding_is_refused(postgres: Server) -> None:
    postgres.sql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    assert "ENCODING 'UTF8'" in failure(postgres.uri("latin"))
    postgres.sql("DROP DATABASE latin WITH (FORCE)")


def test_a_newer_schema_is_refused(store: PostgresStore, postgres: Server) -> None:
    enrol(store, "A")
    postgres.sql("UPDATE facet.schema_version SET version = 99")
    detail = failure(postgres.uri())
    assert "99" in detail
    assert "Update Facet" in detail


def test_a_schema_that_was_removed_is_not_made_again(store: PostgresStore, postgres: Server) -> None:
    enrol(store, "A", [1])
    postgres.sql("DROP SCHEMA facet CASCADE")
    for _ in range(3):
        with pytest.raises(GalleryUnavailable, match="Restore a backup"):
            store.collections()
    assert postgres.sql("SELECT to_regnamespace('facet') IS NULL").strip() == "t"


def test_many_replicas_create_the_schema_at_once(postgres: Server) -> None:
    def use(number: int) -> None:
        with closing(PostgresStore(postgres.uri())) as store:
            enrol(store, str(number), [number])

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(use, range(6)))
    with closing(PostgresStore(postgres.uri())) as store:
        assert store.collection("staff").people == store.collection("staff").faces == 6


def test_a_follower_sees_every_change_of_many_writers(postgres: Server) -> None:
    stores = [PostgresStore(postgres.uri()) for _ in range(5)]
    *writers, follower, last = stores
    enrol(last, "first")
    ended = Event()
    replica, seen = Replica(), 0

    def write(number: int) -> None:
        random = np.random.default_rng(number)
        person = enrol(writers[number], f"{number}")
        other = enrol(writers[number], f"{number} too")
        for turn in range(25):
            face = add_face(writers[number], person, 1000 * number + turn)
            if random.random() < 0.4:
                writers[number].delete_face("staff", person.id, face.id)
            elif random.random() < 0.4:
                writers[number].move_face("staff", person.id, face.id, other.id)

    def follow() -> None:
        nonlocal seen
        version = None
        while True:
            is_last = ended.is_set()
            if (now := follower.version()) != version:
                version = now
                changes = follower.changes(replica.last)
                assert changes is not None
                replica.take(*changes)
                seen += 1
            if is_last:
                return

    with ThreadPoolExecutor(4) as threads:
        following = threads.submit(follow)
        list(threads.map(write, range(3)))
        ended.set()
        following.result(30)
    replica.follow(last)  # the table has the same faces
    loaded = last.load(last.collection("staff").key, 0, 10**6)
    assert dict(zip(loaded.faces, loaded.people, strict=True)) == replica.people
    assert len(replica.people) > 20
    assert seen > 10
    for store in stores:
        store.close()


def test_a_limit_is_kept_by_many_writers(postgres: Server) -> None:
    with closing(PostgresStore(postgres.uri())) as store:
        store.create_collection("staff", MODEL, CONTRACT, DIMENSION)

    def add(_: int) -> bool:
        with closing(PostgresStore(postgres.uri(), Limits(people=5))) as store:
            try:
                store.add_person("staff", PersonDetails())
            except GalleryLimit:
                return False
            return True

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(add, range(12))) == 5


def test_nothing_outlives_a_transaction_on_a_connection(postgres: Server) -> None:
    """A pooler may give each transaction another connection to the server."""
    uri = f"{postgres.uri()}&application_name=followed"
    database = Connections(uri, 1)
    with closing(PostgresStore(uri, connections=1)) as store:
        person = enrol(store, "A", range(8))
        store.import_records("staff", CONTRACT, list(store.records("staff")))
        store.delete_person("staff", person.id)
        query = "SELECT state FROM pg_stat_activity WHERE application_name = 'followed'"
        assert postgres.sql(query).strip() == "idle"
    with database.write():
        pass
    with database._connection("SELECT current_setting('search_path'), current_setting('lock_timeout')") as (
        connection,
        cursor,
    ):
        assert cursor.fetchone() == ('"$user", public', "0")
        assert connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
    database.close()


def test_a_restart_of_the_server_costs_no_request(own_server: Server) -> None:
    with closing(PostgresStore(own_server.uri())) as store:
        enrol(store, "A", [1])
        own_server.stop()
        begun = time.monotonic()
        with pytest.raises(GalleryUnavailable):
            store.collections()
        assert time.monotonic() - begun < 3
        own_server.start()
        time.sleep(0.6)  # the pause between two attempts
        assert store.collection("staff").faces == 1
        own_server.kill()
        own_server.start()
        assert store.collection("staff").faces == 1  # on a new connection


def test_a_silent_server_is_given_up(own_server: Server) -> None:
    with closing(PostgresStore(own_server.uri())) as store:
        enrol(store, "A", [1])
    database = Connections(own_server.tcp_uri(), answer_s=0.5)
    assert database.version()
    own_server.freeze()
    try:
        for longest in (6, 0.1):  # two connections, of which connect_timeout ends the second; none
            begun = time.monotonic()
            with pytest.raises(GalleryUnavailable):
                database.version()
            assert time.monotonic() - begun < longest
    finally:
        own_server.thaw()
    time.sleep(0.6)
    assert database.version()
    database.close()


def test_what_was_acknowledged_survives_kills_of_the_server(own_server: Server) -> None:
    kept: list[str] = []
    failed: list[float] = []
    ended = Event()
    with closing(PostgresStore(own_server.uri())) as store:
        store.create_collection("staff", MODEL, CONTRACT, DIMENSION)

        def add() -> None:
            while not ended.is_set():
                begun = time.monotonic()
                try:
                    person = store.add_person("staff", PersonDetails(str(len(kept))))
                    add_face(store, person, len(kept))
                    kept.append(person.id)
                except GalleryUnavailable:
                    failed.append(time.monotonic() - begun)
                    time.sleep(0.02)

        thread = Thread(target=add)
        thread.start()
        for _ in range(3):
            before = len(kept)
            while len(kept) < before + 15:
                time.sleep(0.01)
            own_server.kill()
            own_server.start()
        ended.set()
        thread.join(60)
        time.sleep(0.6)
        found = {person.id: person.faces for person in store.people("staff", 10_000)}
        assert {id: found.get(id) for id in kept} == dict.fromkeys(kept, 1)
        assert failed
        assert max(failed) < 5
        assert len(found) <= len(kept) + len(failed)


def test_a_commit_whose_answer_is_lost_is_not_acknowledged(own_server: Server) -> None:
    with closing(PostgresStore(own_server.uri())) as store:
        enrol(store, "A")
        database = Connections(own_server.uri())

        def change() -> None:
            with database.write():
                own_server.kill()

        with pytest.raises(GalleryUnavailable, match="not known"):
            change()


def test_a_transaction_in_which_a_statement_failed_is_not_acknowledged(
    store: PostgresStore, postgres: Server
) -> None:
    enrol(store, "A")
    database = Connections(postgres.uri())

    def change() -> None:
        with database.write() as connection:
            connection.execute("DELETE FROM people")
            with pytest.raises(Exception, match="nothing"):
                connection.execute("SELECT * FROM nothing")

    with pytest.raises(GalleryUnavailable, match="did not commit"):
        change()
    assert store.collection("staff").people == 1
    database.close()


def test_a_lost_history_is_recognised(store: PostgresStore, postgres: Server, tmp_path: Path) -> None:
    person = enrol(store, "A", [1, 2])
    backup = postgres.folder / "backup"
    where = ("-h", str(postgres.folder), "-p", str(postgres.port), "-U", "postgres")
    postgres.run("pg_dump", *where, "--format=custom", "--schema=facet", "--file", str(backup), "postgres")
    add_face(store, person, 3)
    lost = store.last_change()
    version = store.version()
    postgres.sql("DROP SCHEMA facet CASCADE")
    postgres.run("pg_restore", *where, "--dbname=postgres", "--exit-on-error", str(backup))
    assert store.version() != version
    assert len(store.faces("staff", person.id)) == 2
    assert store.changes(lost) is None
    add_face(store, person, 4)  # its number is that of the lost one
    assert store.changes(lost) is None
    assert store.changes(store.last_change()) == (store.last_change(), [])


def test_a_restore_under_a_running_store_shows_no_half_state(store: PostgresStore, postgres: Server) -> None:
    person = enrol(store, "A", [1, 2])
    backup = postgres.folder / "backup"
    where = ("-h", str(postgres.folder), "-p", str(postgres.port), "-U", "postgres")
    postgres.run("pg_dump", *where, "--format=custom", "--schema=facet", "--file", str(backup), "postgres")
    add_face(store, person, 3)
    seen: list[int | str] = []
    ended = Event()

    def read() -> None:
        while not ended.is_set():
            try:
                seen.append(store.collection("staff").faces)
            except FacetError as error:
                seen.append(error.detail)

    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(read)
        try:  # the commands of the guide
            script = str(postgres.folder / "facet.sql")
            postgres.run("pg_restore", "--clean", "--if-exists", f"--file={script}", str(backup))
            postgres.run(
                "psql", *where, "-q", "--single-transaction", "--set=ON_ERROR_STOP=1",
                "--command=LOCK TABLE facet.state", f"--file={script}", "postgres",
            )  # fmt: skip
            time.sleep(0.5)
        finally:
            ended.set()
        reading.result(30)
    assert set(seen) == {3, 2}
    add_face(store, person, 4)
    assert store.collection("staff").faces == 3


def test_a_change_is_refused_while_the_row_that_it_locks_is_missing(
    store: PostgresStore, postgres: Server
) -> None:
    enrol(store, "A")
    postgres.sql("DELETE FROM facet.state")  # as between the steps of a restore that is not one transaction
    with pytest.raises(GalleryUnavailable, match="wait for its end"):
        store.add_person("staff", PersonDetails())
    with pytest.raises(GalleryUnavailable, match="wait for its end"):
        store.version()
    assert store.collection("staff").people == 1


@pytest.mark.parametrize("earlier", [False, True])
def test_the_bytes_of_a_deletion_stay_until_the_tables_are_rewritten(
    postgres: Server, monkeypatch: pytest.MonkeyPatch, earlier: bool
) -> None:
    if earlier:  # a version that let ANALYZE keep values of all columns
        monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        monkeypatch.setattr(search, "INDEXES_WITHOUT_STATISTICS", "SELECT 1")
    store = PostgresStore(postgres.uri(), search=StoreSearch())
    seeds = range(40)
    for seed in seeds:
        enrol(store, f"Person {seed}", [seed])
    gone = store.people("staff", 9, name="Person 7")[0]
    store.update_person("staff", gone.id, {"external_id": "an-external-id"})
    names = (
        vector(7).astype("<f4").tobytes()[:24],
        vector(7).astype("<f2").tobytes()[:12],
        b"an-external-id",
    )
    others = (vector(8).astype("<f4").tobytes()[:24], b"Person 8")

    def stored(parts: tuple[bytes, ...]) -> list[bool]:
        postgres.sql("CHECKPOINT")
        files = [*_files(postgres.data / "base"), *_files(postgres.data / "pg_wal")]
        found = [path.read_bytes() for path in files]
        return [any(part in content for content in found) for part in parts]

    def in_statistics() -> bool:
        query = "SELECT attname FROM pg_stats WHERE schemaname = 'facet' AND tablename ~ 'people|faces'"
        return "vector" in (found := postgres.sql(query).split()) or "external_id" in found

    assert stored(names) == [True, True, True]
    postgres.sql("ANALYZE")  # as autovacuum does
    assert in_statistics() == earlier
    store.delete_person("staff", gone.id)
    assert store.erase(1)
    assert not store.erases
    postgres.sql("VACUUM facet.faces, facet.people")
    store.close()
    assert any(stored(names))  # the documents say so
    postgres.sql("ALTER SYSTEM SET wal_recycle = off")  # else old segments of the log are renamed
    postgres.sql("SELECT pg_reload_conf()")
    done = maintain(postgres.uri(), "erase")
    assert done.returncode == 0, done.stderr
    postgres.sql("SELECT pg_switch_wal()")
    postgres.sql("CHECKPOINT")
    assert stored(names) == [False, False, False]
    assert not in_statistics()
    postgres.sql("ANALYZE")
    assert not in_statistics()
    assert stored(others) == [True, True]


def test_the_planner_uses_the_indexes_without_values_of_personal_columns(
    store: PostgresStore, postgres: Server
) -> None:
    person = enrol(store, "A", [1])
    collection = store.collection("staff").key
    postgres.sql(
        f"""
        INSERT INTO facet.people (collection, id, external_id, search_key, details, created)
          SELECT {collection}, int8send(i), int8send(i), int8send(i), '{{}}', 0
          FROM generate_series(1, 5000) i;
        INSERT INTO facet.faces (collection, person, id, box, score, source, created, vector)
          SELECT {collection}, p.key, p.id, box, score, source, 0, vector
          FROM facet.faces f, facet.people p WHERE p.key <> {person.key};
        """
    )
    postgres.sql("ANALYZE")
    for query, index in (
        (f"people WHERE collection = {collection} AND external_id = int8send(7)", "people_by_external_id"),
        (f"people WHERE collection = {collection} AND id = int8send(7)", "people_collection_id_key"),
        (
            f"people WHERE collection = {collection} AND key > 7 AND key < 100 "
            "AND position(int8send(7) IN search_key) > 0 ORDER BY key LIMIT 9",
            "people_",
        ),
        (f"faces WHERE person = {person.key} AND id = int8send(7)", "faces_by_person"),
    ):
        plan = postgres.sql(f"EXPLAIN SELECT * FROM facet.{query}")
        assert f"Index Scan using {index}" in plan, plan


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def clustered(store: GalleryStore, people: int) -> None:
    """Enrol people with two similar faces each."""
    store.create_collection("staff", MODEL, CONTRACT, DIMENSION)
    for number in range(people):
        enrol(store, str(number), [2 * number, 2 * number + 1])


def test_both_searches_in_the_database_agree_with_memory(postgres: Server) -> None:
    with closing(PostgresStore(postgres.uri(), search=StoreSearch(40, 0))) as store:
        clustered(store, 40)
        enrol(store, "elsewhere", [0, 3], collection="guests")
        collection = store.collection("staff")
        faces = store.load(collection.key, 0, 10**6)
        probes = np.stack([vector(seed) for seed in (*range(0, 20), *range(1000, 1020))])
        keys = np.stack([np.array(faces.faces), np.array(faces.people)], axis=1)
        exact = closing(PostgresStore(postgres.uri(), search=StoreSearch(exact_up_to=None)))
        with exact as other:
            for one, hidden in product((store, other), ((), faces.faces[:30])):
                found = one.search(collection, probes, 5, hidden)
                for probe, matches in zip(probes, found, strict=True):
                    products = faces.vectors.astype(np.float64) @ probe.astype(np.float64)
                    products[: len(hidden)] = -np.inf
                    people, best, values = best_people(keys, products, 5)
                    assert [match.person for match in matches] == people.tolist()
                    assert [match.face for match in matches] == best.tolist()
                    np.testing.assert_allclose(
                        [m.similarity for m in matches], values.clip(-1, 1), atol=1e-12
                    )
        plan = postgres.sql(
            "SET search_path = facet, public; SET enable_sort = off; EXPLAIN SELECT key FROM faces WHERE "
            f"collection = {collection.key} AND vector_dims(vector) = {DIMENSION} AND key <> ALL('{{}}') "
            f"ORDER BY vector::halfvec({DIMENSION}) <=> '{probes[0].tolist()}'::halfvec({DIMENSION}) LIMIT 64"
        )
        assert index_name(DIMENSION) in plan


def test_an_import_inserts_few_faces_at_once(store: PostgresStore, postgres: Server) -> None:
    """An HNSW index takes long for each face, and a statement has a time limit."""
    person = enrol(store, "A", [1, 2])
    (record,) = store.records("staff")
    many = replace(
        record,
        faces=[replace(record.faces[0], id=f"{number:032x}") for number in range(450)],
        vectors=np.stack([vector(number) for number in range(450)]),
    )
    others = [
        replace(record, person=replace(record.person, id=f"{n:032x}"), faces=[], vectors=many.vectors[:0])
        for n in range(2)
    ]
    postgres.sql(
        """
        CREATE FUNCTION facet.refuse_many() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF (SELECT count(*) FROM added) > 200 THEN RAISE 'too many'; END IF; RETURN NULL; END $$;
        CREATE TRIGGER few AFTER INSERT ON facet.faces REFERENCING NEW TABLE AS added
          FOR EACH STATEMENT EXECUTE FUNCTION facet.refuse_many();
        """
    )
    records = [others[0], many, others[1]]
    assert store.import_records("staff", CONTRACT, records) == (2, 450)
    assert store.import_records("staff", CONTRACT, records) == (0, 0)
    assert [face.id for face in store.faces("staff", person.id)][2:] == [face.id for face in many.faces]
    assert (store.collection("staff").people, store.collection("staff").faces) == (3, 452)


def test_a_search_without_its_index_names_the_command_that_makes_it(
    store: PostgresStore, postgres: Server
) -> None:
    clustered(store, 5)
    collection = store.collection("staff")
    with closing(PostgresStore(postgres.uri(), search=StoreSearch(40, 0))) as searching:
        with pytest.raises(GalleryUnavailable, match="postgres index"):
            searching.search(collection, vector(0)[None], 1)
        done = maintain(postgres.uri(), "index")
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{index_name(DIMENSION)}: complete\n"
        assert searching.search(collection, vector(0)[None], 1)[0][0].similarity == pytest.approx(1)
    with pytest.raises(GalleryUnavailable, match="FACE_GALLERY_SEARCH"):
        store.search(collection, vector(0)[None], 1)
    assert maintain(postgres.uri(), "check").stdout == "staff: 5 people, 10 faces\n"
    assert "names no database" in maintain("gallery.db", "check").stderr


@pytest.mark.parametrize("in_memory", [True, False])
def test_two_galleries_find_what_the_other_one_enrolled(postgres: Server, in_memory: bool) -> None:
    search = SearchSession(Device("cpu"))
    galleries = []
    for _ in range(2):
        store = PostgresStore(postgres.uri(), search=None if in_memory else StoreSearch())
        new_index = (lambda dimension: VectorIndex(dimension, search)) if in_memory else None
        galleries.append(Gallery(lambda store=store: store, new_index, {MODEL: CONTRACT}))  # type: ignore[misc]
    first, second = galleries
    first.create_collection("staff", MODEL, DIMENSION)
    for turn in range(3):
        person = enrol(first.store, f"A{turn}", [turn])
        collection = second.usable("staff")
        (match,) = second.search(collection, vector(turn)[None], 1)[0]
        assert match.person == person.key
        assert match.similarity == pytest.approx(1)
        first.delete_person("staff", person.id)
        assert second.search(collection, vector(turn)[None], 1) == [[]]
    for gallery in galleries:
        gallery.close()


@pytest.mark.parametrize("in_memory", [True, False])
def test_what_has_expired_is_not_found_while_another_change_holds_the_lock(
    postgres: Server, in_memory: bool
) -> None:
    search, now = SearchSession(Device("cpu")), datetime.now(UTC) - timedelta(days=1)
    store = PostgresStore(postgres.uri(), search=None if in_memory else StoreSearch())
    new_index = (lambda dimension: VectorIndex(dimension, search)) if in_memory else None
    gallery = Gallery(lambda: store, new_index, {MODEL: CONTRACT}, now=lambda: now)
    kept, gone = enrol(store, "A", [1]), enrol(store, "B", [2])
    store.update_person("staff", gone.id, {"expires": now + timedelta(seconds=1)})
    collection = gallery.usable("staff")
    assert {match.person for match in gallery.search(collection, vector(2)[None], 5)[0]} == {
        kept.key,
        gone.key,
    }
    now += timedelta(seconds=1)
    with closing(PostgresStore(postgres.uri())) as other, other._database.write():
        (matches,) = gallery.search(collection, vector(2)[None], 5)
        assert [match.person for match in matches] == [kept.key]
        gallery.tick()
        assert gallery.is_available
        assert gallery.sizes().people == 2
    gallery.tick()
    assert gallery.sizes().people == 1
    gallery.close()


def test_a_replica_whose_clock_is_fast_deletes_and_hides_nobody_too_early(postgres: Server) -> None:
    store = PostgresStore(postgres.uri(), search=StoreSearch())
    now = datetime.now(UTC)
    gallery = Gallery(lambda: store, None, {MODEL: CONTRACT}, now=lambda: now + timedelta(days=2))
    person, other = enrol(store, "A", [1]), enrol(store, "B", [2])
    store.update_person("staff", person.id, {"expires": now + timedelta(days=1)})
    collection = gallery.usable("staff")
    gallery.tick()
    assert gallery.expired() == gallery.purge() == []
    (matches,) = gallery.search(collection, vector(1)[None], 5)
    assert {match.person for match in matches} == {person.key, other.key}
    assert gallery.best_face(collection, person.id, vector(1)) is not None
    store.update_person("staff", person.id, {"expires": now})
    assert [match.person for match in gallery.search(collection, vector(1)[None], 5)[0]] == [other.key]
    with pytest.raises(UnknownId):
        gallery.best_face(collection, person.id, vector(1))
    gallery.tick()
    assert [found.id for found in store.people("staff", 9)] == [other.id]
    gallery.close()


def test_changes_that_wait_for_another_process_leave_connections_for_reads(postgres: Server) -> None:
    with closing(PostgresStore(postgres.uri())) as store, closing(Connections(postgres.uri())) as other:
        enrol(store, "A")

        def add(_: int) -> float:
            begun = time.monotonic()
            with pytest.raises(GalleryInUse):
                store.add_person("staff", PersonDetails())
            return time.monotonic() - begun

        with other.write(), ThreadPoolExecutor(8) as threads:
            waited = threads.map(add, range(8))
            end = time.monotonic() + 4
            while time.monotonic() < end:
                begun = time.monotonic()
                assert store.collection("staff").people == 1
                assert time.monotonic() - begun < 1
                time.sleep(0.05)
            times = sorted(waited)
        assert times[-2] < 3  # one waits for the lock
        store.add_person("staff", PersonDetails())


def test_without_the_packages_the_message_names_the_extra() -> None:
    script = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from app.gallery_wiring import gallery_without_models\nfrom app.settings import Settings\n"
        "from app.errors import GalleryUnavailable\n"
        "try:\n    gallery_without_models(Settings(gallery='postgresql://u:p@h/d'))\n"
        "except GalleryUnavailable as error:\n    print(error.detail)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "make postgres" in done.stdout
    assert "pip install '.[postgres]' in the folder of Facet" in done.stdout


def test_the_plain_service_imports_no_client_of_a_database() -> None:
    script = (
        "import sys, json\nimport app.main, app.server, app.gallery_wiring\n"
        "print(json.dumps([name for name in sys.modules if name.startswith('psycopg')]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
