"""The index of a collection: exact search of its vectors in memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64
from numpy import ndarray

from app.errors import GalleryUnavailable
from app.gallery.records import FaceVectors
from app.runtime.search_net import SearchNet, SearchSession
from app.runtime.vector_matrix import BLOCK_ROWS, VectorMatrix

FIRST_COUNT = 64
"""Minimum number of faces that a search asks for: the best people may have several faces each."""

FACES_PER_PERSON = 4
"""Number of faces that a search asks for at first, for each of the people it looks for."""

GROWTH = 8
"""Factor by which a search asks for more faces, if those that it got are of too few people."""


class IndexRetired(GalleryUnavailable):
    """The index was overwritten, before or while it was searched, and will be loaded again."""

    def __init__(self) -> None:
        super().__init__("The index of the gallery was overwritten during the search. Try again later.")


@dataclass(frozen=True)
class Match:
    """A person that is similar to a probe.

    Attributes:
        person: key of the person.
        face: key of the face of the person that is the most similar.
        similarity: the cosine similarity of this face, -1 to 1.
    """

    person: int
    face: int
    similarity: float


class VectorIndex:
    """The vectors of a collection, searched exactly. Its methods may be called from any thread.

    A probe is compared with the faces between two changes, and the result does not depend on other probes.
    Similarities are computed in float64; the product in float32 only selects the faces for which this is
    done, with a margin for its rounding errors.

    Args:
        dimension: length of a vector.
        session: the session that searches; all collections share it.
        block_rows: maximum number of rows of a block of the matrix.
    """

    def __init__(self, dimension: int, session: SearchSession, block_rows: int = BLOCK_ROWS) -> None:
        self._session = session
        self._matrix = VectorMatrix(dimension, 2, session.device, block_rows)
        self._row_of: dict[int, int] = {}
        self._nets: dict[int, SearchNet] = {}
        self._is_retired = False

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self._matrix)

    def add(self, batch: FaceVectors) -> None:
        """Add faces. A face whose key is known is replaced.

        Args:
            batch: the faces; their keys differ, and their vectors are of length 1.

        Raises:
            OutOfMemory: the device does not have enough memory for the vectors. No face was added.
        """
        keys = np.stack([np.asarray(batch.faces, np.int64), np.asarray(batch.people, np.int64)], axis=1)
        vectors = np.asarray(batch.vectors, np.float32)
        with self._matrix.changing():
            rows = [self._row_of.get(face) for face in batch.faces]
            new = np.array([row is None for row in rows], bool)
            first = len(self._matrix)
            self._matrix.append(vectors[new], keys[new])
            self._row_of.update({face: first + i for i, face in enumerate(keys[new, 0].tolist())})
            for index, row in enumerate(rows):
                if row is not None:
                    self._matrix.overwrite(row, vectors[index], keys[index])

    def remove(self, faces: Iterable[int]) -> None:
        """Remove faces, and overwrite their vectors with zeros. Unknown keys are ignored."""
        with self._matrix.changing():
            for face in faces:
                row = self._row_of.pop(face, None)
                if row is not None:
                    moved = self._matrix.remove(row)
                    if moved is not None:
                        self._row_of[int(moved[0])] = row

    def move(self, face: int, person: int) -> None:
        """Give a face to another person.

        Args:
            face: key of the face.
            person: key of the person.

        Raises:
            KeyError: the index does not have the face.
        """
        with self._matrix.changing():
            self._matrix.row_keys(self._row_of[face])[1] = person

    def retire(self) -> None:
        """Remove all faces for good, and overwrite their vectors with zeros."""
        self._is_retired = True  # before the faces are gone, so that no search finds nobody
        with self._matrix.changing():
            self._matrix.clear()
            self._row_of.clear()

    def search(
        self, probes: Float32[ndarray, "m d"], top: int, hidden: Sequence[int] = ()
    ) -> list[list[Match]]:
        """Return the most similar people of each probe.

        Args:
            probes: vectors of length 1.
            top: maximum number of people per probe.
            hidden: keys of faces that are not found.

        Returns:
            For each probe the people by the similarity of their best face, descending; equal similarities by
            the key of the person. The face of a person is the best one; of equal ones that with the smallest
            key.

        Raises:
            IndexRetired: the index was retired, perhaps during the search.
            OutOfMemory: the device does not have enough memory.
        """
        out: list[list[Match]] = [[] for _ in probes]
        pending = np.arange(len(probes))
        hidden_keys = np.array(hidden, np.int64)
        count = FIRST_COUNT
        while count < FACES_PER_PERSON * top:
            count *= 2
        while len(pending):
            net = self._nets.setdefault(count, SearchNet(self._session, self._matrix, count))
            again = []
            outputs = net.run(probes[pending])
            if self._is_retired:
                raise IndexRetired
            for probe, keys, products, bound in zip(pending, *outputs, strict=True):
                products[np.isin(keys[:, 0], hidden_keys)] = -np.inf
                people, faces, best = best_people(keys, products, top)
                # A face that the net did not return may be as similar as the bound.
                if bound == -np.inf or (len(best) == top and best[-1] > bound):
                    similarities = best.clip(-1, 1).tolist()
                    out[probe] = [
                        Match(*match)
                        for match in zip(people.tolist(), faces.tolist(), similarities, strict=True)
                    ]
                else:
                    again.append(probe)
            pending = np.array(again, np.int64)
            count *= GROWTH
        return out


def best_people(
    keys: Int64[ndarray, "k 2"], products: Float64[ndarray, " k"], top: int
) -> tuple[Int64[ndarray, " n"], Int64[ndarray, " n"], Float64[ndarray, " n"]]:
    """Return the best people among faces, the best face of each, and its product."""
    valid = products > -np.inf
    faces, people, products = keys[valid, 0], keys[valid, 1], products[valid]
    order = np.lexsort((faces, people, -products))
    _, first_of_person = np.unique(people[order], return_index=True)
    best = order[np.sort(first_of_person)[:top]]
    return people[best], faces[best], products[best]
