"""Collections, people and faces for tests of stores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.gallery.records import Face, FaceVectors, Limits, NewFace, Person, PersonDetails
from app.gallery.store import GalleryStore

MODEL, CONTRACT, DIMENSION = "fused", "fused-1", 8


@dataclass
class StoreMaker:
    """Opens stores over the same data.

    Attributes:
        open: opens a store with limits, and the maximum seconds of a snapshot.
        opened: the stores, to be closed.
    """

    open: Callable[[Limits, float], GalleryStore]
    opened: list[GalleryStore]

    def __call__(self, limits: Limits = Limits(), snapshot_s: float = 60.0) -> GalleryStore:  # noqa: B008
        store = self.open(limits, snapshot_s)
        self.opened.append(store)
        return store


def vector(seed: int, dimension: int = DIMENSION) -> Float32[ndarray, " d"]:
    """Return a random vector of length 1."""
    values = np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)
    return values / np.linalg.norm(values)


def new_face(seed: int, dimension: int = DIMENSION) -> NewFace:
    """Return a face that differs from those of other seeds in its vector and its source."""
    source = seed.to_bytes(32, "big")
    return NewFace(vector(seed, dimension), (1.5, -2.0, 30.25, 44.0), 0.875, 0.5, source)


def no_duplicate(faces: Sequence[Face], vectors: FaceVectors) -> None:
    """Say that a face has no duplicate among these faces."""


def same_source(face: NewFace, faces: Sequence[Face], vectors: FaceVectors) -> Face | None:
    """Return the face of the same image."""
    assert [known.key for known in faces] == list(vectors.faces)
    return next((known for known in faces if known.source == face.source), None)


def add_face(store: GalleryStore, person: Person, seed: int, collection: str = "staff") -> Face:
    """Store a face, which must be new, and return it."""
    face, stored = store.add_face(collection, CONTRACT, person.id, new_face(seed), no_duplicate)
    assert stored
    return face


def enrol(store: GalleryStore, name: str, seeds: Sequence[int] = (), collection: str = "staff") -> Person:
    """Store a person with faces in a collection, which is created if there is none; return the person."""
    store.create_collection(collection, MODEL, CONTRACT, DIMENSION)
    person = store.add_person(collection, PersonDetails(name))
    for seed in seeds:
        add_face(store, person, seed, collection)
    return store.person(collection, person.id)
