"""Random galleries of labelled faces, and the rates of identification in them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int
from numpy import ndarray

from training.evaluation.populations import FaceVectors

MIN_STRANGERS = 50
"""A split needs at least so many faces of strangers."""


class LabelledFaces(NamedTuple):
    """The detected faces of some people.

    Attributes:
        vectors: vectors of length 1 (n, d).
        people: number of the person of each face.
        undetected: number of images without a detected face, of each person.
    """

    vectors: Float32[ndarray, "n d"]
    people: Int[ndarray, " n"]
    undetected: Int[ndarray, " p"]


class Gallery(NamedTuple):
    """A gallery, and the faces to search for in it. All fields but the last are indices of faces.

    Attributes:
        enrolled: the faces of the gallery.
        mated: other faces of the same people.
        strangers: the faces of all other people.
        undetected: number of images of the gallery's people without a detected face.
    """

    enrolled: Int[ndarray, " g"]
    mated: Int[ndarray, " m"]
    strangers: Int[ndarray, " s"]
    undetected: int


class BestMatches(NamedTuple):
    """The best matches of the faces that are searched for.

    Attributes:
        mated: similarity of the best face for each mated face.
        right: whether that face shows the same person.
        strangers: similarity of the best face for each stranger.
        undetected: number of images of the gallery's people without a detected face.
    """

    mated: Float32[ndarray, " m"]
    right: Bool[ndarray, " m"]
    strangers: Float32[ndarray, " s"]
    undetected: int

    def fpir(self, threshold: float) -> float:
        """Return the share of the strangers who are taken for somebody."""
        return float((self.strangers >= threshold).mean())

    def tpir(self, threshold: float) -> float:
        """Return the share of the mated images that are identified; an undetected face is not."""
        found = np.count_nonzero(self.right & (self.mated >= threshold))
        return found / (len(self.mated) + self.undetected)


def label_faces(populations: Sequence[FaceVectors]) -> LabelledFaces:
    """Return the faces of several populations; people of two populations are different people."""
    names = np.concatenate([[f"{i}/{name}" for name in one.people] for i, one in enumerate(populations)])
    vectors = np.concatenate([one.vectors for one in populations])
    people = np.unique(names, return_inverse=True)[1]
    known = ~np.isnan(vectors[:, 0])
    return LabelledFaces(
        vectors[known], people[known], np.bincount(people[~known], minlength=people.max() + 1)
    )


def same_people(a: FaceVectors, b: FaceVectors, threshold: float) -> dict[str, str]:
    """Return the people of `b` who are also in `a`, with their name there.

    Args:
        a: the faces of a population.
        b: the faces of another population.
        threshold: the mean similarity of all pairs of faces from which two people are one.
    """
    (mean_a, names_a), (mean_b, names_b) = (_mean_vectors(one) for one in (a, b))
    rows, columns = np.nonzero(mean_b @ mean_a.T >= threshold)
    return {str(names_b[i]): str(names_a[j]) for i, j in zip(rows, columns, strict=True)}


def enrol_faces(faces: LabelledFaces, size: int, rng: np.random.Generator) -> Gallery | None:
    """Return a gallery of random faces of random people, half of them or as many as needed.

    Returns:
        The gallery; None if there are not enough faces.
    """
    order = rng.permutation(len(faces.undetected))
    counts = np.bincount(faces.people, minlength=len(order))[order].cumsum()
    chosen = order[: max(len(order) // 2, int(np.searchsorted(counts, size)) + 1)]
    enrolled = rng.permutation(np.flatnonzero(np.isin(faces.people, chosen)))
    gallery = _gallery(faces, enrolled[:size], enrolled[size:], chosen)
    enough = len(gallery.enrolled) == size and len(gallery.strangers) >= MIN_STRANGERS
    return gallery if enough else None


def enrol_people(faces: LabelledFaces, people: int, each: int, rng: np.random.Generator) -> Gallery:
    """Return a gallery of `each` random faces of random people.

    People who have more faces are taken first, because the others have none to search for.

    Args:
        faces: the faces.
        people: number of people.
        each: number of faces of each person.
        rng: the source of randomness.
    """
    sizes = np.bincount(faces.people, minlength=len(faces.undetected))
    order = rng.permutation(np.flatnonzero(sizes >= each))
    chosen = order[np.argsort(sizes[order] == each, kind="stable")][:people]
    shuffled = rng.permutation(np.flatnonzero(np.isin(faces.people, chosen)))
    shuffled = shuffled[np.argsort(faces.people[shuffled], kind="stable")]
    rank = np.arange(len(shuffled)) - np.searchsorted(faces.people[shuffled], faces.people[shuffled])
    return _gallery(faces, shuffled[rank < each], shuffled[rank >= each], chosen)


def enrol_randomly(
    faces: LabelledFaces, size: int, galleries: int, rng: np.random.Generator
) -> list[Gallery]:
    """Return random galleries of so many faces; none if there are not enough."""
    drawn = (enrol_faces(faces, size, rng) for _ in range(galleries))
    return [one for one in drawn if one is not None]


def best_faces(faces: LabelledFaces, gallery: Gallery) -> BestMatches:
    """Return the best matches by the most similar face of the gallery."""
    enrolled = faces.vectors[gallery.enrolled]
    similarity = faces.vectors[gallery.mated] @ enrolled.T
    best = gallery.enrolled[similarity.argmax(axis=1)]
    return BestMatches(
        similarity.max(axis=1),
        faces.people[best] == faces.people[gallery.mated],
        (faces.vectors[gallery.strangers] @ enrolled.T).max(axis=1),
        gallery.undetected,
    )


def random_matches(faces: LabelledFaces, size: int, galleries: int) -> list[BestMatches]:
    """Return the best matches in random galleries of so many faces; none if there are not enough."""
    drawn = enrol_randomly(faces, size, galleries, np.random.default_rng(0))
    return [best_faces(faces, one) for one in drawn]


def people_matches(faces: LabelledFaces, people: int, each: int, galleries: int) -> list[BestMatches]:
    """Return the best matches in random galleries of people with so many faces each."""
    rng = np.random.default_rng(0)
    return [best_faces(faces, enrol_people(faces, people, each, rng)) for _ in range(galleries)]


def everyone_else(faces: LabelledFaces) -> BestMatches:
    """Return the best match of each face among all faces of other people."""
    similarity = faces.vectors @ faces.vectors.T
    similarity[faces.people[:, None] == faces.people] = -1
    nobody = np.empty(0, np.float32)
    return BestMatches(nobody, nobody > 0, similarity.max(axis=1), 0)


Score = Callable[[Float32[ndarray, "q p k"], Float32[ndarray, "q p"]], Float32[ndarray, "q p"]]
"""The score of each person: of the similarities with their k faces, and of that with their mean vector."""


def best_people(faces: LabelledFaces, gallery: Gallery, each: int, score: Score) -> BestMatches:
    """Return the best matches by a score of each person.

    Args:
        faces: the faces.
        gallery: a gallery of `enrol_people`.
        each: number of enrolled faces of each person.
        score: the score of a person.
    """
    enrolled = faces.vectors[gallery.enrolled]
    people = faces.people[gallery.enrolled[::each]]
    mean = enrolled.reshape(len(people), each, -1).mean(axis=1)
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)

    def scores(searched: Int[ndarray, " q"]) -> Float32[ndarray, "q p"]:
        vectors = faces.vectors[searched]
        return score((vectors @ enrolled.T).reshape(len(searched), len(people), each), vectors @ mean.T)

    mated = scores(gallery.mated)
    right = people[mated.argmax(axis=1)] == faces.people[gallery.mated]
    return BestMatches(mated.max(axis=1), right, scores(gallery.strangers).max(axis=1), gallery.undetected)


def _gallery(faces: LabelledFaces, enrolled: ndarray, mated: ndarray, people: ndarray) -> Gallery:
    strangers = np.flatnonzero(~np.isin(faces.people, people))
    return Gallery(enrolled, mated, strangers, int(faces.undetected[people].sum()))


def _mean_vectors(faces: FaceVectors) -> tuple[Float32[ndarray, "p d"], ndarray]:
    """Return the mean vector of each person, whose products are mean similarities, and the names."""
    known = ~np.isnan(faces.vectors[:, 0])
    order = np.argsort(faces.people[known], kind="stable")
    names, starts, sizes = np.unique(faces.people[known][order], return_index=True, return_counts=True)
    return np.add.reduceat(faces.vectors[known][order], starts) / sizes[:, None].astype(np.float32), names
