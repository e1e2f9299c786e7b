"""Random galleries and the rates of identification, on synthetic vectors."""

import numpy as np
import pytest

from training.evaluation.galleries import (
    BestMatches,
    LabelledFaces,
    best_faces,
    best_people,
    enrol_faces,
    enrol_people,
    label_faces,
    same_people,
)
from training.evaluation.populations import FaceVectors


def population(seed: int, people: int, images: int, spread: float = 0.2) -> FaceVectors:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), images)
    vectors = rng.normal(size=(people, 16))[labels] + spread * rng.normal(size=(len(labels), 16))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return FaceVectors(unit.astype(np.float32), np.array([f"person {i}" for i in labels]))


FACES = label_faces([population(0, 40, 6)])
RNG = np.random.default_rng(1)


def test_people_of_two_populations_are_different_people() -> None:
    both = label_faces([population(0, 4, 3), population(1, 5, 2)])
    assert len(both.undetected) == 9
    assert np.bincount(both.people).tolist() == [3] * 4 + [2] * 5


def test_undetected_faces_are_counted_and_left_out() -> None:
    one = population(0, 3, 4)
    one.vectors[[0, 1, 5]] = np.nan
    faces = label_faces([one])
    assert faces.vectors.shape == (9, 16)
    assert faces.undetected.tolist() == [2, 1, 0]
    assert np.bincount(faces.people).tolist() == [2, 3, 4]


def test_strangers_are_nobody_of_the_gallery() -> None:
    by_faces, by_people = enrol_faces(FACES, 90, RNG), enrol_people(FACES, 10, 2, RNG)
    assert by_faces is not None
    for gallery in (by_faces, by_people):
        enrolled, strangers = (set(FACES.people[i]) for i in (gallery.enrolled, gallery.strangers))
        assert not enrolled & strangers
        assert set(FACES.people[gallery.mated]) <= enrolled
        indices = np.concatenate(gallery[:3])
        assert sorted(indices) == list(range(240))
    assert len(by_faces.enrolled) == 90
    assert len(set(FACES.people[by_faces.enrolled])) > 15  # of half of the people
    assert (
        np.bincount(FACES.people[by_people.enrolled])[FACES.people[by_people.enrolled]].tolist() == [2] * 20
    )


def test_a_gallery_needs_enough_faces_and_strangers() -> None:
    assert enrol_faces(FACES, 150, RNG) is not None
    assert enrol_faces(FACES, 239, RNG) is None


def test_people_with_faces_to_search_for_are_enrolled_first() -> None:
    people = np.array([0, 1, 1, 2, 3, 3, 4])
    faces = LabelledFaces(np.eye(7, dtype=np.float32), people, np.array([0, 3, 0, 1, 0]))
    gallery = enrol_people(faces, 2, 1, RNG)
    assert set(faces.people[gallery.enrolled]) == {1, 3}
    assert gallery.undetected == 4


def test_rates_count_wrong_people_and_undetected_faces() -> None:
    matches = BestMatches(
        np.array([0.9, 0.8, 0.4], np.float32),
        np.array([True, False, True]),
        np.array([0.1, 0.5, 0.6, 0.2], np.float32),
        2,
    )
    assert matches.tpir(0.3) == pytest.approx(2 / 5)
    assert matches.tpir(0.5) == pytest.approx(1 / 5)
    assert matches.fpir(0.5) == pytest.approx(2 / 4)


def test_the_best_face_is_the_most_similar_one() -> None:
    gallery = enrol_people(FACES, 10, 3, RNG)
    matches = best_faces(FACES, gallery)
    assert matches.right.mean() > 0.95
    similarity = FACES.vectors[gallery.strangers[5]] @ FACES.vectors[gallery.enrolled].T
    assert matches.strangers[5] == pytest.approx(similarity.max())
    by_person = best_people(FACES, gallery, 3, lambda similarity, mean: similarity.max(axis=2))
    np.testing.assert_allclose(by_person.mated, matches.mated, rtol=1e-5)
    np.testing.assert_array_equal(by_person.right, matches.right)


def test_the_mean_vector_has_length_one() -> None:
    gallery = enrol_people(FACES, 10, 3, RNG)
    matches = best_people(FACES, gallery, 3, lambda similarity, mean: mean)
    three = FACES.vectors[gallery.enrolled[:3]].mean(axis=0)
    person = FACES.people[gallery.enrolled[0]]
    own = FACES.vectors[gallery.mated[FACES.people[gallery.mated] == person][0]]
    expected = own @ three / np.linalg.norm(three)
    found = matches.mated[np.flatnonzero(FACES.people[gallery.mated] == person)[0]]
    assert found == pytest.approx(expected, abs=1e-5)


def test_one_person_in_two_populations_is_found() -> None:
    a, b = population(0, 5, 4), population(1, 6, 3)
    b.vectors[b.people == "person 2"] = a.vectors[a.people == "person 3"][:3]
    b.vectors[0] = np.nan
    assert same_people(a, b, 0.9) == {"person 2": "person 3"}
