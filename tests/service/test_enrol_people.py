"""The people of an enrolment, while other processes add people to the same collection."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from app.gallery.gallery import Gallery
from app.gallery.index import VectorIndex
from app.gallery.sqlite_store import SqliteStore
from app.service.enrol_list import PersonImage
from app.service.enrol_people import EnrolPeople
from app.service.gallery_requests import FacesQuery
from tests.gallery.enrolment import CONTRACT, DIMENSION, MODEL, add_face


def no_index(dimension: int) -> VectorIndex:
    raise AssertionError("Nothing is searched here.")


@pytest.fixture
def galleries(tmp_path: Path) -> list[Gallery]:
    """The galleries of two processes, over the same file."""
    found = [Gallery(lambda: SqliteStore(tmp_path / "gallery.db"), no_index, {}) for _ in range(2)]
    found[0].store.create_collection("staff", MODEL, CONTRACT, DIMENSION)
    return found


def people(gallery: Gallery) -> list[tuple[str | None, str | None]]:
    found = gallery.store.people("staff", 100)
    return [(person.details.name, person.details.external_id) for person in found]


@pytest.mark.parametrize("has_id", [False, True])
def test_runs_at_the_same_time_add_each_person_once(galleries: list[Gallery], has_id: bool) -> None:
    images = [PersonImage(f"{n}.jpg", f"Person {n}", str(n) if has_id else None) for n in range(12)]
    barrier = Barrier(2)

    def run(gallery: Gallery) -> list[tuple[str, bool]]:
        mine = EnrolPeople(gallery, "staff", images)
        found = []
        for image in images:
            person = mine.of(image)
            barrier.wait()
            is_new = mine.add(person, FacesQuery())
            assert person.record is not None
            found.append((person.record.id, is_new))
        return found

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(run, galleries)
    assert [id for id, _ in first] == [id for id, _ in second]
    assert all(one[1] != other[1] for one, other in zip(first, second, strict=True))
    assert people(galleries[0]) == [(image.name, image.external_id) for image in images]


def test_a_person_without_a_face_is_withdrawn_and_added_again(galleries: list[Gallery]) -> None:
    mine = EnrolPeople(galleries[0], "staff", [PersonImage("1.jpg", "Ann")])
    person = mine.of(PersonImage("1.jpg", "Ann"))
    assert mine.add(person, FacesQuery())
    mine.withdraw(person)
    assert (person.record, people(galleries[0])) == (None, [])
    assert mine.add(person, FacesQuery())
    assert people(galleries[0]) == [("Ann", None)]


def test_a_person_to_whom_another_process_added_a_face_stays(galleries: list[Gallery]) -> None:
    image = PersonImage("1.jpg", "Ann")
    mine, other = (EnrolPeople(gallery, "staff", [image]) for gallery in galleries)
    person, same = mine.of(image), other.of(image)
    assert mine.add(person, FacesQuery())
    assert not other.add(same, FacesQuery())
    assert same.record is not None
    add_face(galleries[1].store, same.record, 1)
    mine.withdraw(person)
    assert people(galleries[0]) == [("Ann", None)]
