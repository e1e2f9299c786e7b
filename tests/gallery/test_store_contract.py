"""What every store of the gallery does."""

import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import numpy as np
import pytest

from app.errors import (
    BadParameter,
    DeadlineExceeded,
    DuplicateExternalId,
    GalleryLimit,
    GalleryUnavailable,
    OtherEmbedding,
    UnknownId,
)
from app.gallery.records import Expired, FaceChange, Limits, Person, PersonDetails, PersonRecord
from app.gallery.rules import GalleryInUse
from app.gallery.sqlite_store import SqliteStore
from app.gallery.store import GalleryStore
from app.runtime.request_context import RequestContext
from app.runtime.timing import Timing, apart_from_request
from tests.gallery.enrolment import (
    CONTRACT,
    DIMENSION,
    MODEL,
    StoreMaker,
    add_face,
    enrol,
    new_face,
    no_duplicate,
    same_source,
    vector,
)
from tests.postgres import Server

NOBODY = "0" * 32
SOON = datetime(2999, 12, 31, 23, 59, 59, 999999, UTC)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.integration)])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreMaker]:
    """Opens stores over the same data."""
    if request.param == "sqlite":
        maker = StoreMaker(partial(SqliteStore, tmp_path / "gallery.db"), [])
    else:
        maker = StoreMaker(postgres_stores(request.getfixturevalue("postgres")), [])
    yield maker
    for store in maker.opened:
        store.close()


def postgres_stores(server: Server) -> Callable[[Limits, float], GalleryStore]:
    from app.gallery.postgres_store import PostgresStore  # the packages may be missing

    return lambda limits, snapshot_s: PostgresStore(server.uri(), limits, snapshot_s=snapshot_s)


@pytest.fixture
def store(opened: StoreMaker) -> GalleryStore:
    return opened()


def test_a_collection_is_created_once(store: GalleryStore) -> None:
    before = datetime.now(UTC)
    created, new = store.create_collection("staff", MODEL, CONTRACT, DIMENSION)
    assert new
    assert (created.name, created.model, created.contract, created.dimension) == (
        "staff",
        MODEL,
        CONTRACT,
        DIMENSION,
    )
    assert (created.people, created.faces) == (0, 0)
    assert before <= created.created <= datetime.now(UTC)
    assert store.create_collection("staff", "other", "other-1", 4) == (created, False)
    assert store.collection("staff") == created
    guests, _ = store.create_collection("Guests", MODEL, CONTRACT, DIMENSION)
    assert store.collections() == [guests, created]
    assert guests.key != created.key


@pytest.mark.parametrize("name", ["Zoë's", "名前", "a'b\"c; --", "a b", "%_"])
def test_a_collection_may_have_any_name(store: GalleryStore, name: str) -> None:
    created, _ = store.create_collection(name, MODEL, CONTRACT, DIMENSION)
    assert store.collection(name) == created
    store.delete_collection(name)
    assert store.collections() == []


def test_details_of_people_are_kept_exactly(store: GalleryStore) -> None:
    store.create_collection("staff", MODEL, CONTRACT, DIMENSION)
    everything = PersonDetails(
        "Zoë \x00 名 \ud800 😀", "ext/1 ö\x00", {"a": [1, 2.5, None, {"b": "ß\x00"}], "": 2**70}, SOON
    )
    for details in (PersonDetails(), PersonDetails("", "", {}), everything, PersonDetails("x" * 70_000)):
        person = store.add_person("staff", details)
        assert person.details == details
        assert store.person("staff", person.id) == person
        assert len(person.id) == 32
    assert store.collection("staff").people == 4


def test_people_are_listed_in_pages_by_their_creation(store: GalleryStore) -> None:
    people = [enrol(store, f"Person {number}") for number in range(7)]
    enrol(store, "Person elsewhere", collection="guests")
    first = store.people("staff", 3)
    assert first == people[:3]
    assert store.people("staff", 3, after=first[-1].key) == people[3:6]
    assert store.people("staff", 3, after=people[5].key) == people[6:]
    assert store.people("staff", 3, after=2**80) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ann", ["Ann", "Joanne", "HANNA"]),
        ("STRASSE", ["Straße"]),
        ("ß", ["Straße"]),
        ("%", ["100%"]),
        ("_", []),
        ("external_id", []),
        ("", ["Ann", "Joanne", "HANNA", "Straße", "100%", None]),
    ],
)
def test_people_are_found_by_a_part_of_their_name(
    store: GalleryStore, text: str, expected: list[str | None]
) -> None:
    store.create_collection("staff", MODEL, CONTRACT, DIMENSION)
    for name in ("Ann", "Joanne", "HANNA", "Straße", "100%", None):
        store.add_person("staff", PersonDetails(name))
    assert [person.details.name for person in store.people("staff", 10, name=text)] == expected
    assert [person.details.name for person in store.people("staff", 1, name=text)] == expected[:1]


def test_a_person_is_found_by_the_external_id(store: GalleryStore) -> None:
    store.create_collection("staff", MODEL, CONTRACT, DIMENSION)
    people = {
        id: store.add_person("staff", PersonDetails(f"name {id}", id)) for id in ("1", "2", "", "ö", "O")
    }
    for id, person in people.items():
        assert store.people("staff", 9, external_id=id) == [person]
    assert store.people("staff", 9, external_id="o") == []
    assert store.people("staff", 9, external_id="1", name="NAME") == [people["1"]]
    assert store.people("staff", 9, external_id="1", name="x") == []
    assert store.people("staff", 9, external_id="1", after=people["1"].key) == []


def test_a_person_is_found_among_a_thousand_external_ids(store: GalleryStore) -> None:
    store.create_collection("staff", MODEL, CONTRACT, DIMENSION)
    now = datetime.now(UTC)
    people = [Person(0, f"{n:032x}", PersonDetails(external_id=f"E{n}"), 0, now) for n in range(1000)]
    no_vectors = np.empty((0, DIMENSION), np.float32)
    store.import_records("staff", CONTRACT, [PersonRecord(person, [], no_vectors) for person in people])
    for person in people:
        assert [found.id for found in store.people("staff", 2, external_id=person.details.external_id)] == [
            person.id
        ]


def test_an_external_id_belongs_to_one_person_of_a_collection(store: GalleryStore) -> None:
    first = enrol(store, "A")
    second = enrol(store, "B")
    store.update_person("staff", first.id, {"external_id": "7"})
    with pytest.raises(DuplicateExternalId):
        store.add_person("staff", PersonDetails("C", "7"))
    with pytest.raises(DuplicateExternalId):
        store.update_person("staff", second.id, {"external_id": "7", "name": "changed"})
    assert store.person("staff", second.id) == second
    assert store.collection("staff").people == 2
    store.update_person("staff", first.id, {"external_id": "7", "name": "same id"})
    elsewhere = enrol(store, "D", collection="guests")
    store.update_person("guests", elsewhere.id, {"external_id": "7"})
    store.update_person("staff", first.id, {"external_id": None})
    store.update_person("staff", second.id, {"external_id": "7"})
    store.delete_person("staff", second.id)
    store.add_person("staff", PersonDetails("C", "7"))


def test_a_change_of_a_person_leaves_the_other_fields_alone(store: GalleryStore) -> None:
    person = enrol(store, "A", [1])
    assert store.update_person("staff", person.id, {}) == person
    for changes in (
        {"name": "B"},
        {"metadata": {"a": "x" * 5000}},
        {"expires": SOON},
        {"name": None, "external_id": "1"},
        {"metadata": None, "expires": None},
    ):
        details = dataclasses.replace(person.details, **changes)
        person = store.update_person("staff", person.id, changes)
        assert person.details == details
        assert store.person("staff", person.id) == person
    assert person.faces == 1


def test_faces_are_kept_exactly(store: GalleryStore) -> None:
    person = enrol(store, "A")
    before = datetime.now(UTC)
    faces = []
    for seed, quality, expires in ((1, 0.1, None), (2, None, SOON)):
        new = dataclasses.replace(new_face(seed), quality=quality, expires=expires)
        face, stored = store.add_face("staff", CONTRACT, person.id, new, no_duplicate)
        faces.append(face)
        assert stored
        assert face.person == person.id
        assert (face.box, face.score, face.quality, face.source, face.expires) == (
            new.box,
            new.score,
            quality,
            new.source,
            expires,
        )
        assert before <= face.created <= datetime.now(UTC)
    assert store.faces("staff", person.id) == faces
    kept = store.vectors("staff", person.id)
    assert list(kept.faces) == [face.key for face in faces]
    assert list(kept.people) == [person.key] * 2
    np.testing.assert_array_equal(kept.vectors, np.stack([vector(1), vector(2)]))
    assert kept.vectors.dtype == np.float32
    assert store.person("staff", person.id).faces == store.collection("staff").faces == 2


def test_a_duplicate_is_not_stored(store: GalleryStore) -> None:
    person = enrol(store, "A", [1, 2])
    before = store.last_change()
    first = store.faces("staff", person.id)[0]
    again = new_face(1)
    found = store.add_face("staff", CONTRACT, person.id, again, partial(same_source, again))
    assert found == (first, False)
    assert store.collection("staff").faces == 2
    assert store.last_change() == before


def test_the_first_face_is_compared_with_an_empty_matrix(store: GalleryStore) -> None:
    person = enrol(store, "A")
    shapes = []
    store.add_face(
        "staff", CONTRACT, person.id, new_face(1), lambda _, known: shapes.append(known.vectors.shape)
    )
    assert shapes == [(0, DIMENSION)]
    assert store.vectors("staff", enrol(store, "B").id).vectors.shape == (0, DIMENSION)


def test_an_exception_of_the_comparison_stores_nothing(store: GalleryStore) -> None:
    person = enrol(store, "A", [1])

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.add_face("staff", CONTRACT, person.id, new_face(2), fail)
    assert store.person("staff", person.id) == person
    add_face(store, person, 2)


def test_faces_are_deleted_and_moved(store: GalleryStore) -> None:
    first, second = enrol(store, "A", [1, 2, 3]), enrol(store, "B", [4])
    faces = store.faces("staff", first.id)
    moved = store.move_face("staff", first.id, faces[0].id, second.id)
    assert moved == dataclasses.replace(faces[0], person=second.id)
    store.delete_face("staff", first.id, faces[1].id)
    assert store.faces("staff", first.id) == faces[2:]
    assert store.faces("staff", second.id)[0] == moved
    assert [store.person("staff", person.id).faces for person in (first, second)] == [1, 2]
    assert store.collection("staff").faces == 3
    before = store.last_change()
    assert store.move_face("staff", second.id, moved.id, second.id) == moved
    assert store.last_change() == before


def test_a_person_is_deleted_with_all_faces(store: GalleryStore) -> None:
    first, second = enrol(store, "A", [1, 2]), enrol(store, "B", [3])
    faces = store.faces("staff", first.id)
    store.delete_person("staff", first.id)
    assert store.people("staff", 9) == [second]
    assert (store.collection("staff").people, store.collection("staff").faces) == (1, 1)
    assert store.faces_by_key([face.key for face in faces]) == {}
    assert store.people_by_key([first.key]) == {}


def test_a_merged_person_has_the_faces_of_both(store: GalleryStore) -> None:
    first, second = enrol(store, "A", [1, 2]), enrol(store, "B", [3])
    faces = [*store.faces("staff", first.id), *store.faces("staff", second.id)]
    merged = store.merge_people("staff", first.id, second.id)
    assert merged == dataclasses.replace(second, faces=3)
    assert store.people("staff", 9) == [merged]
    assert store.faces("staff", second.id) == [dataclasses.replace(face, person=second.id) for face in faces]
    assert (store.collection("staff").people, store.collection("staff").faces) == (1, 3)
    with pytest.raises(BadParameter):
        store.merge_people("staff", second.id, second.id)
    assert store.people("staff", 9) == [merged]


def test_a_collection_is_deleted_with_all_people(store: GalleryStore) -> None:
    person, other = enrol(store, "A", [1, 2]), enrol(store, "B", [3], collection="guests")
    key = store.collection("staff").key
    store.delete_collection("staff")
    assert [collection.name for collection in store.collections()] == ["guests"]
    assert store.people_by_key([person.key, other.key]) == {other.key: other}
    assert len(store.load(key, 0, 9).faces) == 0
    again, new = store.create_collection("staff", "other", "other-1", 4)
    assert new
    assert again.key > key
    assert (again.people, again.faces) == (0, 0)


def test_keys_are_never_used_again(store: GalleryStore) -> None:
    person = enrol(store, "A", [1])
    face = store.faces("staff", person.id)[0]
    store.delete_person("staff", person.id)
    again = enrol(store, "A", [1])
    assert again.key > person.key
    assert store.faces("staff", again.id)[0].key > face.key
    assert again.id != person.id


Call = Callable[[GalleryStore, str], Any]
OF_COLLECTIONS: list[Call] = [
    lambda store, name: store.collection(name),
    lambda store, name: store.delete_collection(name),
    lambda store, name: store.add_person(name, PersonDetails()),
    lambda store, name: store.people(name, 1),
    lambda store, name: store.person(name, NOBODY),
    lambda store, name: store.records(name),
    lambda store, name: store.import_records(name, CONTRACT, []),
    lambda store, name: store.add_face(name, CONTRACT, NOBODY, new_face(1), no_duplicate),
]
OF_PEOPLE: list[Call] = [
    lambda store, id: store.person("staff", id),
    lambda store, id: store.update_person("staff", id, {"name": "x"}),
    lambda store, id: store.delete_person("staff", id),
    lambda store, id: store.merge_people("staff", id, store.people("staff", 1)[0].id),
    lambda store, id: store.merge_people("staff", store.people("staff", 1)[0].id, id),
    lambda store, id: store.faces("staff", id),
    lambda store, id: store.vectors("staff", id),
    lambda store, id: store.add_face("staff", CONTRACT, id, new_face(1), no_duplicate),
    lambda store, id: store.delete_face("staff", id, NOBODY),
    lambda store, id: store.move_face("staff", id, NOBODY, id),
]


@pytest.mark.parametrize("call", OF_COLLECTIONS)
def test_an_unknown_collection_is_named(store: GalleryStore, call: Call) -> None:
    enrol(store, "A", [1])
    for name in ("nothing", "STAFF", "", "\ud800", "staff\x00"):
        with pytest.raises(UnknownId) as caught:
            call(store, name)
        assert caught.value.field == "collection"


@pytest.mark.parametrize("call", OF_PEOPLE)
def test_an_unknown_person_is_named(store: GalleryStore, call: Call) -> None:
    person, elsewhere = enrol(store, "A", [1]), enrol(store, "B", [2], collection="guests")
    for id in (NOBODY, elsewhere.id, person.id[:-1], "A" * 32, "", "\ud800"):
        with pytest.raises(UnknownId) as caught:
            call(store, id)
        assert caught.value.field == "person"
    assert store.people("staff", 9) == [person]


def test_an_unknown_face_is_named(store: GalleryStore) -> None:
    first, second = enrol(store, "A", [1]), enrol(store, "B", [2])
    (other,) = store.faces("staff", second.id)
    for id in (NOBODY, other.id, "x"):
        with pytest.raises(UnknownId) as caught:
            store.delete_face("staff", first.id, id)
        assert caught.value.field == "face"
        with pytest.raises(UnknownId) as caught:
            store.move_face("staff", first.id, id, second.id)
        assert caught.value.field == "face"
    assert store.collection("staff").faces == 2


def test_limits_are_kept(opened: StoreMaker) -> None:
    store = opened(Limits(collections=2, people=3, faces=4, faces_per_person=2))
    first, second = enrol(store, "A", [1, 2]), enrol(store, "B", [3])
    third = enrol(store, "C", [4], collection="guests")
    with pytest.raises(GalleryLimit):
        store.create_collection("more", MODEL, CONTRACT, DIMENSION)
    store.create_collection("guests", MODEL, CONTRACT, DIMENSION)
    with pytest.raises(GalleryLimit):
        store.add_person("staff", PersonDetails())
    with pytest.raises(GalleryLimit):
        store.add_face("staff", CONTRACT, second.id, new_face(5), no_duplicate)
    store.delete_person("guests", third.id)
    with pytest.raises(GalleryLimit):
        store.add_face("staff", CONTRACT, first.id, new_face(5), no_duplicate)
    with pytest.raises(GalleryLimit):
        store.merge_people("staff", second.id, first.id)
    with pytest.raises(GalleryLimit):
        store.move_face("staff", second.id, store.faces("staff", second.id)[0].id, first.id)
    assert [store.person("staff", person.id) for person in (first, second)] == [first, second]
    store.add_face("staff", CONTRACT, second.id, new_face(5), no_duplicate)
    store.move_face("staff", first.id, store.faces("staff", first.id)[0].id, first.id)


@pytest.mark.parametrize(("contract", "dimension"), [("other-1", DIMENSION), (CONTRACT, DIMENSION + 1)])
def test_vectors_of_another_embedding_are_refused(store: GalleryStore, contract: str, dimension: int) -> None:
    person = enrol(store, "A", [1])
    with pytest.raises(OtherEmbedding):
        store.add_face("staff", contract, person.id, new_face(2, dimension), no_duplicate)
    records = list(store.records("staff"))
    other = dataclasses.replace(records[0], vectors=np.ones((1, dimension), np.float32))
    with pytest.raises(OtherEmbedding):
        store.import_records("staff", contract, [other])
    assert store.collection("staff").faces == 1


DISTURBANCES = [
    lambda store, people, face: store.merge_people("staff", people[2].id, people[0].id),
    lambda store, people, face: store.merge_people("staff", people[0].id, people[2].id),
    lambda store, people, face: store.move_face("staff", people[0].id, face, people[2].id),
    lambda store, people, face: store.move_face(
        "staff", people[0].id, add_face(store, people[0], 9).id, people[2].id
    ),
    lambda store, people, face: store.delete_collection("staff"),
]


@pytest.mark.parametrize(
    "disturb",
    [
        *DISTURBANCES,
        lambda store, people, face: store.delete_person("staff", people[1].id),
        lambda store, people, face: add_face(store, people[1], 9),
        lambda store, people, face: enrol(store, "D", [9]),
        lambda store, people, face: store.update_person("staff", people[2].id, {"name": "E"}),
    ],
)
def test_a_reader_sees_one_moment(
    opened: StoreMaker, disturb: Callable[[GalleryStore, list[Person], str], object]
) -> None:
    store, other = opened(), opened()
    people = [enrol(store, name, [number]) for number, name in enumerate("ABC")]
    expected = _without_keys(store.records("staff"))
    records = store.records("staff")
    face = store.faces("staff", people[0].id)[0].id
    disturb(other, people, face)
    assert _without_keys(records) == expected
    assert len(expected) == 3


def test_a_reader_keeps_bytes_from_being_erased_only_until_it_ends(opened: StoreMaker) -> None:
    store = opened()
    people = [enrol(store, name, [number]) for number, name in enumerate("ABC")]
    if not store.erases:
        assert store.erase(60)
        return
    for end in (list, None):
        records = store.records("staff")
        store.delete_person("staff", people.pop().id)
        begin = monotonic()
        assert not store.erase(60)
        assert monotonic() - begin < 30  # it does not wait for a reader of its own process
        if end is not None:
            end(records)
        del records
        assert store.erase(5)


def test_a_reader_of_an_unknown_collection_is_told_at_once(store: GalleryStore) -> None:
    with pytest.raises(UnknownId):
        store.records("nobody")


@pytest.mark.parametrize("disturb", DISTURBANCES)
def test_a_slow_reader_whose_faces_were_moved_is_told(
    opened: StoreMaker, disturb: Callable[[GalleryStore, list[Person], str], object]
) -> None:
    store, other = opened(snapshot_s=0), opened()
    people = [enrol(store, name, [number]) for number, name in enumerate("ABC")]
    records = store.records("staff")
    face = next(records).faces[0].id
    disturb(other, people, face)
    with pytest.raises(GalleryUnavailable, match="Export it again"):
        list(records)


def test_a_slow_reader_is_not_disturbed_by_other_changes(opened: StoreMaker) -> None:
    store, other = opened(snapshot_s=0), opened()
    people = [enrol(store, name, [number]) for number, name in enumerate("ABC")]
    other.create_collection("guests", MODEL, CONTRACT, DIMENSION)
    guests = [enrol(store, name, [number], "guests") for number, name in enumerate("AB")]
    add_face(store, people[1], 5)
    records = store.records("staff")
    read = [next(records).person.id]
    other.merge_people("guests", guests[0].id, guests[1].id)
    other.delete_face("staff", people[0].id, other.faces("staff", people[0].id)[0].id)
    other.delete_person("staff", people[2].id)
    add_face(other, people[1], 6)
    new = enrol(other, "D", [7])
    assert read + [record.person.id for record in records] == [people[0].id, people[1].id, new.id]


def test_another_connection_changes_the_version(opened: StoreMaker) -> None:
    first, second = opened(), opened()
    seen = [first.version()]

    def changed() -> bool:
        seen.append(first.version())
        return seen[-1] not in seen[:-1]

    person = enrol(second, "A")
    assert changed()
    add_face(second, person, 1)
    assert changed()
    second.update_person("staff", person.id, {"name": "B"})
    assert changed()
    assert not changed()
    assert first.person("staff", person.id).faces == 1
    assert not changed()
    second.delete_collection("staff")
    assert changed()


def test_every_change_of_a_face_is_noted(store: GalleryStore) -> None:
    assert store.last_change() == 0
    assert store.changes(0) == (0, [])
    first, second = enrol(store, "A", [1, 2, 3]), enrol(store, "B")
    collection = store.collection("staff").key
    a, b, c = (face.key for face in store.faces("staff", first.id))

    def noted(person: int | None, *faces: int) -> list[FaceChange]:
        return [FaceChange(collection, face, person) for face in faces]

    assert store.changes(0) == (store.last_change(), noted(first.key, a, b, c))
    after = store.last_change()
    store.update_person("staff", first.id, {"name": "X"})
    assert store.changes(after) == (after, [])
    store.move_face("staff", first.id, store.faces_by_key([a])[a].id, second.id)
    store.delete_face("staff", first.id, store.faces_by_key([b])[b].id)
    last, changes = store.changes(after) or (0, [])
    assert changes == [*noted(second.key, a), *noted(None, b)]
    assert last == store.last_change()
    store.merge_people("staff", first.id, second.id)
    assert store.changes(last) == (store.last_change(), noted(second.key, c))
    last = store.last_change()
    store.delete_person("staff", second.id)
    last, changes = store.changes(last) or (0, [])
    assert sorted(changes, key=lambda change: change.face) == noted(None, a, c)
    third = enrol(store, "C", [4, 5])
    keys = [face.key for face in store.faces("staff", third.id)]
    last = store.last_change()
    store.delete_collection("staff")
    last, changes = store.changes(last) or (0, [])
    assert sorted(changes, key=lambda change: change.face) == noted(None, *keys)
    assert store.changes(last + 1) is None


def test_faces_are_loaded_in_pages(store: GalleryStore) -> None:
    people = [
        enrol(store, "A", [0, 1, 2]),
        enrol(store, "X", [9], collection="guests"),
        enrol(store, "B", [3, 4]),
    ]
    key = store.collection("staff").key
    first, second, third = (
        store.load(key, 0, 3),
        store.load(key, store.load(key, 0, 3).faces[-1], 3),
        store.load(key, 2**80, 3),
    )
    assert list(first.people) == [people[0].key] * 3
    assert list(second.people) == [people[2].key] * 2
    assert (third.faces, third.vectors.shape) == ([], (0, DIMENSION))
    loaded = np.concatenate([first.vectors, second.vectors])
    np.testing.assert_array_equal(loaded, np.stack([vector(seed) for seed in range(5)]))
    assert sorted({*first.faces, *second.faces}) == [*first.faces, *second.faces]


def test_rows_are_found_by_key(store: GalleryStore) -> None:
    people = [enrol(store, "A", [0, 1]), enrol(store, "B", [2])]
    faces = [face for person in people for face in store.faces("staff", person.id)]
    assert store.people_by_key([people[1].key, 999, people[0].key, -1, 2**70]) == {p.key: p for p in people}
    assert store.faces_by_key({faces[0].key, faces[2].key, 999}) == {
        face.key: face for face in (faces[0], faces[2])
    }
    found = store.vectors_by_key(face.key for face in reversed(faces))
    assert list(found.faces) == [face.key for face in faces]
    assert list(found.people) == [people[0].key, people[0].key, people[1].key]
    np.testing.assert_array_equal(found.vectors, np.stack([vector(seed) for seed in range(3)]))
    assert store.people_by_key([]) == {}
    assert store.faces_by_key([]) == {}
    assert store.vectors_by_key([]).faces == store.vectors_by_key([999]).faces == []
    assert len(store.vectors_by_key(np.array([face.key for face in faces]).tolist()).faces) == 3


def test_an_exported_collection_is_imported_exactly(opened: StoreMaker) -> None:
    store = opened()
    for number in range(4):
        person = enrol(store, f"P{number}", range(10 * number, 10 * number + number))
        store.update_person("staff", person.id, {"external_id": str(number), "metadata": {"n": number}})
    expected = list(store.records("staff"))
    store.create_collection("copy", MODEL, CONTRACT, DIMENSION)
    assert store.import_records("copy", CONTRACT, iter(expected)) == (4, 6)
    assert _without_keys(store.records("copy")) == _without_keys(expected)
    assert (store.collection("copy").people, store.collection("copy").faces) == (4, 6)
    assert store.import_records("copy", CONTRACT, expected) == (0, 0)
    last = store.last_change()
    first, second = (record.person for record in list(store.records("copy"))[1:3])
    store.delete_face("copy", first.id, store.faces("copy", first.id)[0].id)
    store.update_person("copy", first.id, {"name": "changed"})
    store.delete_person("copy", second.id)
    assert store.import_records("copy", CONTRACT, expected) == (1, 3)
    assert store.person("copy", first.id).details.name == "changed"
    assert store.person("copy", first.id).faces == 1
    found = store.changes(last)
    assert found is not None
    assert len([change for change in found[1] if change.person is not None]) == 3


def _without_keys(records: Any) -> list[Any]:
    return [
        (
            dataclasses.replace(record.person, key=0),
            [dataclasses.replace(face, key=0) for face in record.faces],
            record.vectors.tolist(),
        )
        for record in records
    ]


@pytest.mark.parametrize("fault", ["external id", "people", "faces", "faces per person", "iterator", "id"])
def test_an_import_is_done_completely_or_not_at_all(opened: StoreMaker, fault: str) -> None:
    store = opened(Limits(people=5, faces=7, faces_per_person=3))
    enrol(store, "A", [1, 2])
    enrol(store, "B", [3])
    exported = list(store.records("staff"))
    store.create_collection("copy", MODEL, CONTRACT, DIMENSION)
    kept = store.add_person("copy", PersonDetails("C", "1"))
    person = dataclasses.replace(exported[0].person, id="f" * 32)
    faces = [dataclasses.replace(exported[0].faces[0], id=f"{n:032x}") for n in range(4)]
    vectors = np.stack([vector(n) for n in range(4)])
    bad = {
        "external id": [
            PersonRecord(dataclasses.replace(person, details=PersonDetails("D", "1")), [], vectors[:0])
        ],
        "people": [PersonRecord(person, [], vectors[:0])],
        "faces": [PersonRecord(person, faces[:2], vectors[:2])],
        "faces per person": [
            PersonRecord(person, faces[:2], vectors[:2]),
            PersonRecord(person, faces[2:], vectors[2:]),
        ],
        "id": [PersonRecord(dataclasses.replace(person, id="x"), [], vectors[:0])],
    }
    errors: dict[str, type[Exception]] = {
        "external id": DuplicateExternalId,
        "iterator": ZeroDivisionError,
        "id": BadParameter,
    }
    limits = {
        "people": Limits(people=5),
        "faces": Limits(faces=7),
        "faces per person": Limits(faces_per_person=3),
    }

    def records() -> Iterator[PersonRecord]:
        yield from exported
        if fault == "iterator":
            raise ZeroDivisionError
        yield from bad[fault]

    before = store.last_change()
    with pytest.raises(errors.get(fault, GalleryLimit)):
        opened(limits.get(fault, Limits())).import_records("copy", CONTRACT, records())
    assert store.people("copy", 9) == [kept]
    assert (store.collection("copy").people, store.collection("copy").faces) == (1, 0)
    assert store.last_change() == before


def test_a_person_deleted_during_a_slow_export_is_left_out(opened: StoreMaker) -> None:
    store, other = opened(snapshot_s=0), opened()
    people = [enrol(store, name, [number]) for number, name in enumerate("ABCD")]
    records = store.records("staff")
    assert next(records).person == people[0]
    other.delete_person("staff", people[1].id)
    assert [record.person for record in records] == people[2:]


def test_what_has_expired_is_purged(store: GalleryStore) -> None:
    now = datetime.now(UTC)
    past, present, future = now - timedelta(days=1), now, now + timedelta(microseconds=1)
    assert store.next_expiry() is None
    assert store.expired(now) == store.purge(now) == []
    people = [enrol(store, name, [number]) for number, name in enumerate("ABC")]
    guest = enrol(store, "G", [7], collection="guests")
    for person, time in zip(people, (past, future, None), strict=True):
        store.update_person("staff", person.id, {"expires": time})
    expiring = [dataclasses.replace(new_face(8), expires=time) for time in (present, future)]
    gone, kept = (store.add_face("staff", CONTRACT, people[2].id, face, no_duplicate)[0] for face in expiring)
    store.add_face("staff", CONTRACT, people[0].id, expiring[0], no_duplicate)
    guests, _ = store.add_face("guests", CONTRACT, guest.id, expiring[0], no_duplicate)
    assert store.next_expiry() == past
    expected = [Expired("guests", [], [guests.id]), Expired("staff", [people[0].id], [gone.id])]
    assert store.expired(now) == expected
    hidden = {
        store.collection(one).key: store.expired_faces(store.collection(one).key, now)
        for one in ("staff", "guests")
    }
    of_gone = [face.key for face in store.faces("staff", people[0].id)]
    assert {key: sorted(faces) for key, faces in hidden.items()} == {
        store.collection("staff").key: sorted([*of_gone, gone.key]),
        store.collection("guests").key: [guests.key],
    }
    assert store.expired_faces(store.collection("staff").key, past - timedelta(microseconds=1)) == []
    assert store.expired_faces(10**6, now) == []
    assert store.collection("staff").people == 3
    assert [store.expired(now, one.collection) for one in expected] == [[one] for one in expected]
    assert store.purge(now, "guests") == expected[:1]
    assert store.purge(now, "guests") == []
    assert store.expired(now) == expected[1:]
    with pytest.raises(UnknownId):
        store.purge(now, "nobody")
    assert store.purge(now) == expected[1:]
    assert store.purge(now) == store.expired(now) == []
    assert store.expired_faces(store.collection("staff").key, now) == []
    assert store.next_expiry() == future
    assert [person.id for person in store.people("staff", 9)] == [person.id for person in people[1:]]
    assert [face.id for face in store.faces("staff", people[2].id)][1:] == [kept.id]
    assert store.collection("staff").faces == 3
    assert store.erase(5)


def test_a_closed_store_can_be_opened_again(opened: StoreMaker) -> None:
    store = opened()
    person = enrol(store, "A", [1])
    store.close()
    store.close()
    assert opened().people("staff", 9) == [person]


def test_a_request_that_is_over_changes_nothing(store: GalleryStore) -> None:
    person = enrol(store, "A", [1])
    records = list(store.records("staff"))
    context = RequestContext()
    timing = Timing(context)
    timing.begin_job()
    try:

        def last_moment() -> Iterator[PersonRecord]:
            yield dataclasses.replace(
                records[0],
                person=dataclasses.replace(person, id="1" * 32),
                faces=[],
                vectors=records[0].vectors[:0],
            )
            context.expire()

        with pytest.raises(DeadlineExceeded):
            store.import_records("staff", CONTRACT, last_moment())
        with pytest.raises(DeadlineExceeded):
            store.add_person("staff", PersonDetails("B"))
        with pytest.raises(DeadlineExceeded):
            store.delete_person("staff", person.id)
        with apart_from_request():
            store.update_person("staff", person.id, {"name": "C"})
    finally:
        timing.end_job()
    (left,) = store.people("staff", 9)
    assert (left.id, left.details.name, left.faces) == (person.id, "C", 1)
    assert "was dropped" in context.expire().detail


def test_while_a_change_takes_long_others_are_refused_and_reads_are_answered(store: GalleryStore) -> None:
    person = enrol(store, "A", [1])
    begun, finish = Event(), Event()

    def wait(*_: object) -> None:
        begun.set()
        assert finish.wait(30)

    def refused(_: int) -> float:
        start = monotonic()
        with pytest.raises(GalleryInUse, match="Try again"):
            store.add_person("staff", PersonDetails())
        return monotonic() - start

    with ThreadPoolExecutor(9) as threads:
        try:
            change = threads.submit(store.add_face, "staff", CONTRACT, person.id, new_face(2), wait)
            assert begun.wait(30)
            waited = threads.map(refused, range(8))
            for _ in range(10):
                start = monotonic()
                assert store.person("staff", person.id) == person
                assert monotonic() - start < 1
            assert max(waited) < 3
            assert refused(0) < 0.5
        finally:
            finish.set()
        change.result(30)
    assert store.add_person("staff", PersonDetails()).faces == 0


def test_many_short_changes_wait_for_each_other(store: GalleryStore) -> None:
    store.create_collection("staff", MODEL, CONTRACT, DIMENSION)
    with ThreadPoolExecutor(12) as threads:
        people = list(threads.map(lambda number: enrol(store, str(number), [number]), range(60)))
    assert store.collection("staff").people == store.collection("staff").faces == len(people)
