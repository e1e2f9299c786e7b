from hypothesis import given
from hypothesis import strategies as st

from app.gallery.assignment import assign
from app.gallery.index import Match


def row(*pairs: tuple[int, float]) -> list[Match]:
    return [Match(person, person * 10, similarity) for person, similarity in pairs]


def people(found: list[Match | None]) -> list[int | None]:
    return [None if match is None else match.person for match in found]


def test_each_face_gets_its_most_similar_person_above_the_threshold() -> None:
    matches = [row((1, 0.9), (2, 0.8)), row((2, 0.85), (1, 0.1)), row((3, 0.4))]
    assert people(assign(matches, 0.5)) == [1, 2, None]


def test_a_person_goes_to_the_more_similar_face_and_the_other_gets_the_next() -> None:
    assert people(assign([row((1, 0.9), (2, 0.7)), row((1, 0.95), (2, 0.8))], 0.5)) == [2, 1]
    assert people(assign([row((1, 0.9), (2, 0.4)), row((1, 0.95))], 0.5)) == [None, 1]


def test_a_similarity_at_the_threshold_is_accepted() -> None:
    assert people(assign([row((1, 0.5))], 0.5)) == [1]


def test_no_faces_and_no_people() -> None:
    assert assign([], 0.5) == []
    assert assign([[], []], 0.5) == [None, None]


rows = st.lists(
    st.dictionaries(st.integers(1, 5), st.floats(-1, 1), max_size=5).map(
        lambda scores: row(*sorted(scores.items(), key=lambda pair: -pair[1]))
    ),
    max_size=6,
)


@given(rows, st.floats(-1, 1))
def test_no_person_twice_and_nothing_left_over(matches: list[list[Match]], threshold: float) -> None:
    found = assign(matches, threshold)
    taken = [match.person for match in found if match is not None]
    assert len(taken) == len(set(taken))
    for mine, match in zip(matches, found, strict=True):
        assert match is None or (match in mine and match.similarity >= threshold)
        if match is None:  # every person it could be belongs to another face
            assert {m.person for m in mine if m.similarity >= threshold} <= set(taken)
