"""The index of a collection: the answers of a search by brute force, also while the faces change."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from app.gallery.index import IndexRetired, Match, VectorIndex
from app.gallery.records import FaceVectors
from app.runtime.device import Device
from app.runtime.search_net import SearchSession
from tests.runtime.sum_net import RecordingTelemetry

DIMENSION = 16


@cache
def session() -> SearchSession:
    """Return a session on the CPU."""
    return SearchSession(Device("cpu"))


def unit(vectors: ndarray) -> ndarray:
    """Return vectors of length 1, in float32."""
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def random_vectors(n: int, seed: int = 0) -> ndarray:
    """Return n random vectors of length 1."""
    return unit(np.random.default_rng(seed).standard_normal((n, DIMENSION)))


def hard_vectors(random: np.random.Generator, n: int) -> ndarray:
    """Return random vectors among which some are equal, some nearly equal, and some equally similar."""
    signs = random.choice([-0.25, 0.25], (n, DIMENSION))  # all products are multiples of 1/8
    centres = random_vectors(3)[random.integers(0, 3, n)]
    near = unit(centres + 1e-7 * random.standard_normal((n, DIMENSION)))
    kind = random.integers(0, 4, n)[:, None]
    any_vectors = unit(random.standard_normal((n, DIMENSION)))
    return np.select([kind == 0, kind == 1, kind == 2], [signs, centres, near], any_vectors).astype(
        np.float32
    )


def brute_force(
    faces: dict[int, tuple[int, ndarray]], probe: ndarray, top: int
) -> list[tuple[int, int, float]]:
    """Return person, face and similarity of the best people."""
    best: dict[int, tuple[float, int]] = {}
    for face in sorted(faces):
        person, vector = faces[face]
        similarity = float(np.vecdot(vector.astype(np.float64), probe.astype(np.float64)))
        if person not in best or similarity > best[person][0]:
            best[person] = (similarity, face)
    ranked = sorted(best, key=lambda person: (-best[person][0], person))[:top]
    return [(person, best[person][1], best[person][0]) for person in ranked]


def assert_exact(
    index: VectorIndex, faces: dict[int, tuple[int, ndarray]], probes: ndarray, top: int
) -> None:
    """Check a search against brute force."""
    answers = index.search(probes, top)
    assert len(answers) == len(probes)
    for probe, answer in zip(probes, answers, strict=True):
        expected = brute_force(faces, probe, top)
        assert [(match.person, match.face) for match in answer] == [match[:2] for match in expected]
        np.testing.assert_allclose(
            [match.similarity for match in answer], [match[2] for match in expected], atol=1e-6
        )


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "add", "remove", "move", "clear"]), st.integers(0, 2**32 - 1))
    ),
    st.sampled_from([1, 3, 100, 1000]),
    st.sampled_from([7, 50, 1000]),
    st.integers(1, 20),
)
def test_every_search_is_that_by_brute_force(
    changes: list[tuple[str, int]], people: int, block_rows: int, top: int
) -> None:
    index = VectorIndex(DIMENSION, session(), block_rows)
    faces: dict[int, tuple[int, ndarray]] = {}
    for kind, seed in changes:
        random = np.random.default_rng(seed)
        keys = np.sort(random.choice(400, random.integers(1, 150), replace=False)).tolist()
        if kind == "add":
            vectors = hard_vectors(random, len(keys))
            owners = random.integers(0, people, len(keys)).tolist()
            index.add(FaceVectors(keys, owners, vectors))
            faces |= dict(zip(keys, zip(owners, vectors, strict=True), strict=True))
        elif kind == "remove":
            index.remove(keys)
            faces = {face: value for face, value in faces.items() if face not in keys}
        elif kind == "move":
            for face in faces.keys() & set(keys[:5]):
                index.move(face, people)
                faces[face] = (people, faces[face][1])
        elif seed % 4 == 0:
            index.remove(list(faces))
            faces.clear()
        assert len(index) == len(faces)
        assert_exact(index, faces, hard_vectors(random, 3), top)


def test_a_person_with_many_faces_does_not_push_others_out() -> None:
    probe = random_vectors(1)
    close = unit(probe + 0.1 * random_vectors(700, seed=1))
    far = random_vectors(5, seed=2)
    index = VectorIndex(DIMENSION, session())
    index.add(FaceVectors(range(705), [1] * 700 + [2, 3, 4, 5, 6], np.concatenate([close, far])))
    (matches,) = index.search(probe, 5)
    assert matches[0].person == 1
    assert len({match.person for match in matches}) == 5
    faces = dict(enumerate(zip([1] * 700 + [2, 3, 4, 5, 6], [*close, *far], strict=True)))
    assert_exact(index, faces, probe, 5)


def test_more_people_than_any_product_returns_at_first() -> None:
    vectors = random_vectors(600)
    index = VectorIndex(DIMENSION, session(), block_rows=50)
    index.add(FaceVectors(range(600), range(600), vectors))
    faces = {i: (i, vector) for i, vector in enumerate(vectors)}
    assert_exact(index, faces, random_vectors(2, seed=1), 300)
    assert len(index.search(vectors[:1], 1000)[0]) == 600


def test_nearly_equal_vectors_are_in_the_order_of_float64() -> None:
    """In float32 their products are rounded to a few values, so that the best ones are not known."""
    base = random_vectors(1)
    vectors = (base + 3e-8 * np.random.default_rng(0).standard_normal((2000, DIMENSION))).astype(np.float32)
    index = VectorIndex(DIMENSION, session())
    index.add(FaceVectors(range(2000), range(2000), vectors))
    assert len(np.unique(vectors @ base[0])) < 10
    assert_exact(index, {i: (i, vector) for i, vector in enumerate(vectors)}, base, 5)


def test_similarities_are_at_most_1_and_those_of_equal_vectors_are_1() -> None:
    long = random_vectors(1) * np.float32(1 + 3e-7)
    index = VectorIndex(DIMENSION, session())
    index.add(FaceVectors([1, 2], [7, 8], np.concatenate([long, -long])))
    assert index.search(long, 5) == [[Match(7, 1, 1.0), Match(8, 2, -1.0)]]


def test_equal_vectors_are_ordered_by_key() -> None:
    vector = random_vectors(1)
    index = VectorIndex(DIMENSION, session(), block_rows=3)
    index.add(FaceVectors([5, 4, 3, 2, 1], [9, 8, 9, 6, 6], np.repeat(vector, 5, axis=0)))
    (matches,) = index.search(vector, 2)
    assert [(match.person, match.face) for match in matches] == [(6, 1), (8, 4)]


def test_an_empty_index_and_no_probe() -> None:
    index = VectorIndex(DIMENSION, session())
    assert index.search(random_vectors(2), 5) == [[], []]
    index.remove([1, 2])
    index.add(FaceVectors([], [], random_vectors(0)))
    assert len(index) == 0
    assert index.search(random_vectors(0), 5) == []


def test_an_unknown_face_cannot_move() -> None:
    with pytest.raises(KeyError):
        VectorIndex(DIMENSION, session()).move(1, 2)


def test_no_byte_of_a_removed_vector_stays_in_the_index() -> None:
    vectors = random_vectors(400)
    index = VectorIndex(DIMENSION, session(), block_rows=100)
    arrays: list[ndarray] = []
    for start in range(0, 400, 30):
        keys = range(start, min(400, start + 30))
        index.add(FaceVectors(keys, keys, vectors[start : start + 30]))
        arrays += memory_of(index)
    index.remove(range(0, 400, 2))
    index.add(FaceVectors([1, 3], [1, 3], random_vectors(2, seed=1)))
    gone = [*range(0, 400, 2), 1, 3]
    assert_absent(vectors[gone], arrays)
    assert vectors[5].tobytes() in b"".join(array.tobytes() for array in arrays)
    index.retire()
    assert_absent(vectors, arrays)


@pytest.mark.parametrize("hidden", [[0], [*range(150)], [*range(300)]])
def test_hidden_faces_are_not_found(hidden: list[int]) -> None:
    vectors = random_vectors(300)
    index = VectorIndex(DIMENSION, session())
    index.add(FaceVectors(range(300), [face // 2 for face in range(300)], vectors))
    shown = {face: (face // 2, vectors[face]) for face in range(300) if face not in hidden}
    probes = vectors[[0, 1, 149, 299]]
    for probe, matches in zip(probes, index.search(probes, 5, hidden), strict=True):
        expected = brute_force(shown, probe, 5)
        assert [(match.person, match.face) for match in matches] == [row[:2] for row in expected]
    assert len(index) == 300


def test_a_retired_index_finds_nobody_but_says_so() -> None:
    index = VectorIndex(DIMENSION, session())
    index.add(FaceVectors([1], [1], random_vectors(1)))
    index.retire()
    with pytest.raises(IndexRetired):
        index.search(random_vectors(1), 1)


def memory_of(index: VectorIndex) -> list[ndarray]:
    """Return the arrays that hold the vectors."""
    return [block.vectors for block in index._matrix.blocks]


def assert_absent(vectors: ndarray, arrays: Sequence[ndarray]) -> None:
    """Check that no array has any value of the vectors."""
    present = np.concatenate([array.ravel() for array in arrays])
    assert not np.isin(vectors, present).any()


def test_searches_see_the_faces_between_two_changes() -> None:
    """Two faces of one vector are added and removed together: a search finds both or none."""
    index = VectorIndex(DIMENSION, session(), block_rows=64)
    index.add(FaceVectors(range(500), range(500), random_vectors(500, seed=1)))
    probes = random_vectors(4)
    stop = threading.Event()
    seen: set[int] = set()

    def change(number: int) -> int:
        pair = [1000 + 2 * number, 1001 + 2 * number]
        for _ in range(100):
            index.add(FaceVectors(pair, pair, np.repeat(probes[number : number + 1], 2, axis=0)))
            time.sleep(0.0005)
            index.remove(pair)
        return 100

    def search(number: int) -> int:
        searches = 0
        while not stop.is_set():
            (matches,) = index.search(probes[number : number + 1], 3)
            found = [match.person for match in matches if match.similarity > 0.999]
            assert found in ([], [1000 + 2 * number, 1001 + 2 * number])
            assert len(matches) == 3
            seen.add(len(found))
            searches += 1
        return searches

    with ThreadPoolExecutor(8) as threads:
        searches = [threads.submit(search, number) for number in range(4)]
        changes = [threads.submit(change, number) for number in range(4)]
        try:
            assert [c.result(60) for c in changes] == [100] * 4
        finally:
            stop.set()
        assert all(s.result(60) > 0 for s in searches)
    assert seen == {0, 2}
    assert len(index) == 500


def test_16_threads_share_products_and_get_the_answers_of_one() -> None:
    telemetry = RecordingTelemetry()
    index = VectorIndex(DIMENSION, SearchSession(Device("cpu"), telemetry))
    index.add(FaceVectors(range(20_000), [i // 4 for i in range(20_000)], random_vectors(20_000)))
    probes = random_vectors(64, seed=1)
    alone = [index.search(probe[None], 5) for probe in probes]
    telemetry.batches.clear()
    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(lambda i: index.search(probes[i % 64][None], 5), range(320)))
    assert answers == alone * 5
    assert sum(requests for requests, _ in telemetry.batches) == 320
    assert len(telemetry.batches) < 320 / 3
