"""Clusters of vectors, against a plain implementation that tries all pairs of clusters at each step."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from app.gallery.clustering import _ROUNDING, cluster

SEEDS = st.integers(0, 10_000)


def faces(seed: int, people: int = 5, each: int = 6, spread: float = 0.6) -> ndarray:
    """Random vectors of some people, in random order."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(people, 8))
    vectors = np.repeat(centres, each, axis=0) + spread * rng.normal(size=(people * each, 8))
    vectors = rng.permutation(vectors)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def partition(numbers: ndarray) -> set[frozenset[int]]:
    """The clusters as sets of faces; a face that is alone is one, too."""
    groups: dict[int, list[int]] = {}
    for face, number in enumerate(numbers.tolist()):
        groups.setdefault(number if number >= 0 else -1 - face, []).append(face)
    return {frozenset(group) for group in groups.values()}


def plain(vectors: ndarray, images: ndarray, threshold: float) -> set[frozenset[int]]:
    similarity = vectors.astype(float) @ vectors.astype(float).T
    groups = [frozenset([face]) for face in range(len(vectors))]
    while True:
        allowed = [
            (similarity[np.ix_(sorted(a), sorted(b))].mean(), a, b)
            for a, b in itertools.combinations(groups, 2)
            if not set(images[sorted(a)]) & set(images[sorted(b)])
        ]
        best, a, b = max(allowed, key=lambda pair: pair[0], default=(-2.0, frozenset(), frozenset()))
        if best < threshold:
            return set(groups)
        groups = [group for group in groups if group not in (a, b)] + [a | b]


@given(SEEDS, st.sampled_from([0.2, 0.5, 0.7, 0.9]), st.sampled_from([4, 15, 1000]))
def test_the_clusters_are_those_of_merges_in_descending_order(
    seed: int, threshold: float, images: int
) -> None:
    vectors = faces(seed)
    image = np.random.default_rng(seed).integers(0, images, len(vectors))
    assert partition(cluster(vectors, image, threshold)) == plain(vectors, image, threshold)


@given(SEEDS)
def test_the_order_of_the_faces_does_not_matter(seed: int) -> None:
    vectors = faces(seed)
    rng = np.random.default_rng(seed)
    images, order = rng.integers(0, 12, len(vectors)), rng.permutation(len(vectors))
    first = partition(cluster(vectors, images, 0.5))
    second = partition(cluster(vectors[order], images[order], 0.5))
    assert {frozenset(order[list(group)].tolist()) for group in second} == first


@given(SEEDS)
def test_two_faces_of_an_image_are_in_different_clusters(seed: int) -> None:
    vectors = faces(seed, people=2, each=12)
    images = np.arange(len(vectors)) // 3
    numbers = cluster(vectors, images, -1)
    for image in range(images.max() + 1):
        found = [number for number in numbers[images == image].tolist() if number >= 0]
        assert len(set(found)) == len(found)


def test_copies_in_one_image_stay_apart() -> None:
    vectors = np.tile(np.array([1, 0], np.float32), (4, 1))
    assert cluster(vectors, np.array([0, 0, 1, 1]), 0.9).tolist() in ([0, 1, 0, 1], [0, 1, 1, 0])
    assert cluster(vectors, np.array([0, 0, 0, 0]), 0.9).tolist() == [-1] * 4


def test_clusters_are_numbered_by_descending_size_and_a_lone_face_has_none() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 1, 1, 2, 3, 3, 3]]
    assert cluster(vectors, np.arange(7), 0.5).tolist() == [-1, 1, 1, -1, 0, 0, 0]
    assert cluster(vectors[[1, 0, 1, 0]], np.arange(4), 0.5).tolist() == [0, 1, 0, 1]


def test_a_similarity_at_the_threshold_is_enough() -> None:
    vectors = np.array([[1, 0], [0.6, 0.8]], np.float32)
    assert cluster(vectors, np.arange(2), 0.6).tolist() == [0, 0]
    assert cluster(vectors, np.arange(2), 0.601).tolist() == [-1, -1]


@pytest.mark.parametrize("seed", range(12, 20))
def test_a_similarity_that_rounding_moves_across_the_threshold_ends_the_search(seed: int) -> None:
    """The product of two vectors depends on their order in the last bit."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(1, 512)) + 0.55 * rng.normal(size=(6, 512))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    similarities = (vectors @ vectors.T)[np.triu_indices(6, k=1)]
    steps = 0

    def check() -> None:
        nonlocal steps
        steps += 1
        assert steps < 1000, "the search for clusters does not end"

    for similarity in (*similarities.astype(float).tolist(), 0.7724358769912719 - _ROUNDING):
        for ulps in range(-8, 9):
            steps = 0
            cluster(vectors, np.arange(6), similarity + _ROUNDING + ulps * 2.0**-25, check)


def test_no_and_one_face() -> None:
    assert cluster(np.empty((0, 8), np.float32), np.empty(0, int), 0.5).tolist() == []
    assert cluster(faces(0)[:1], np.array([0]), 0.5).tolist() == [-1]


def test_copies_do_not_take_long() -> None:
    """Each face is equally similar to all others."""
    vectors = np.repeat(faces(0)[:1], 1500, axis=0)
    begin = time.perf_counter()
    assert cluster(vectors, np.arange(len(vectors)), 0.9).tolist() == [0] * len(vectors)
    assert time.perf_counter() - begin < 30


def test_a_computation_can_be_ended() -> None:
    class Ended(Exception):
        pass

    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 10:
            raise Ended

    vectors = faces(1)
    with pytest.raises(Ended):
        cluster(vectors, np.arange(len(vectors)), 0.5, check)
