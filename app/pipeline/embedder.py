"""Embedding: a face's crop, aligned by five points, to a unit vector; and the similarity of two faces."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.errors import BadModel
from app.runtime.session import ModelSession
from app.vision import align
from app.vision.pyramid import ImagePyramid
from app.vision.spec import ComparedSpec, EmbedderSpec, FusionSpec, HeadSpec


@runtime_checkable
class Embedder(Protocol):
    """A model of face vectors. `spec` says how two vectors are compared."""

    @property
    def spec(self) -> ComparedSpec: ...

    def __call__(self, picture: ImagePyramid, points: Float32[ndarray, "n 5 2"]) -> Float32[ndarray, "n d"]:
        """Return unit vectors for faces with five points each."""

    def represent(self, picture: ImagePyramid, points: Float32[ndarray, "n 5 2"]) -> Float32[ndarray, "n d"]:
        """Return the input of `compare`: the unit vectors, or what a Siamese network's head takes."""

    def compare(self, a: Float32[ndarray, "n d"], b: Float32[ndarray, "n d"]) -> Float32[ndarray, " n"]:
        """Return the similarities of pairs of faces; greater means more alike."""


class CosineEmbedder:
    """One net on faces aligned by five points; vectors are compared by their cosine.

    Raises:
        BadModel: the session is not that of an embedder.
    """

    def __init__(self, session: ModelSession) -> None:
        self._crops = AlignedCrops(session)
        self.spec = self._crops.spec
        self._session = session

    def __call__(self, picture: ImagePyramid, points: Float32[ndarray, "n 5 2"]) -> Float32[ndarray, "n d"]:
        """Return unit vectors for faces with five points each."""
        return self.vectors(picture, points, self.spec.flip_average)

    def vectors(
        self, picture: ImagePyramid, points: Float32[ndarray, "n 5 2"], flip_average: bool
    ) -> Float32[ndarray, "n d"]:
        """Return unit vectors; with `flip_average` the mirrored crop's vector is added before normalising."""
        crops = self._crops(picture, points)
        if not flip_average:
            return self._session.run(crops)["embedding"]
        both = self._session.run(np.concatenate([crops, crops[:, :, ::-1]]))["embedding"]
        total = both[: len(crops)] + both[len(crops) :]
        return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)

    def represent(self, picture: ImagePyramid, points: Float32[ndarray, "n 5 2"]) -> Float32[ndarray, "n d"]:
        """Return the unit vectors."""
        return self(picture, points)

    def compare(self, a: Float32[ndarray, "n d"], b: Float32[ndarray, "n d"]) -> Float32[ndarray, " n"]:
        """Return the cosines."""
        return cosine(a, b)


class SiameseEmbedder:
    """A Siamese network: a branch for each face, and a head that judges the outputs of two branches.

    Raises:
        BadModel: the sessions are not a branch and a head that fit each other.
    """

    def __init__(self, branch: ModelSession, head: ModelSession) -> None:
        self._crops = AlignedCrops(branch)
        self.spec = self._crops.spec
        if not isinstance(head.spec, HeadSpec) or head.spec.dimension != self.spec.dimension:
            raise BadModel(f"{head.spec.model}: its head does not fit its branch")
        self._branch = branch
        self._head = head

    def __call__(self, picture: ImagePyramid, points: Float32[ndarray, "n 5 2"]) -> Float32[ndarray, "n d"]:
        """Return unit vectors for faces with five points each."""
        return self._branch.run(self._crops(picture, points))["embedding"]

    def represent(self, picture: ImagePyramid, points: Float32[ndarray, "n 5 2"]) -> Float32[ndarray, "n d"]:
        """Return the branch's outputs."""
        return self._branch.run(self._crops(picture, points))["branch"]

    def compare(self, a: Float32[ndarray, "n d"], b: Float32[ndarray, "n d"]) -> Float32[ndarray, " n"]:
        """Return the head's probabilities that both faces are the same person."""
        return self._head.run(np.stack([a, b], axis=1))["probability"][:, 0]


class FusedEmbedder:
    """Several embedders whose concatenated vectors a small net combines; compared by their cosine.

    Raises:
        BadModel: the parts do not fit the fusion's spec.
    """

    def __init__(self, parts: Sequence[Embedder], session: ModelSession) -> None:
        if not isinstance(session.spec, FusionSpec):
            raise BadModel(f"{session.spec.model} is not a fusion of embedders")
        self.spec: FusionSpec = session.spec
        nets = [part for part in parts if isinstance(part, CosineEmbedder)]
        if len(nets) != len(self.spec.flip_average):
            raise BadModel(f"{self.spec.model} combines only nets whose vectors are compared by their cosine")
        length = sum(part.spec.dimension for part in parts)
        if length != self.spec.inputs:
            raise BadModel(f"{self.spec.model} takes {self.spec.inputs} numbers; its parts give {length}")
        self._parts = list(zip(nets, self.spec.flip_average, strict=True))
        self._session = session

    def __call__(self, picture: ImagePyramid, points: Float32[ndarray, "n 5 2"]) -> Float32[ndarray, "n d"]:
        """Return unit vectors for faces with five points each."""
        vectors = [part.vectors(picture, points, flip) for part, flip in self._parts]
        return self._session.run(np.concatenate(vectors, axis=1))["embedding"]

    def represent(self, picture: ImagePyramid, points: Float32[ndarray, "n 5 2"]) -> Float32[ndarray, "n d"]:
        """Return the unit vectors."""
        return self(picture, points)

    def compare(self, a: Float32[ndarray, "n d"], b: Float32[ndarray, "n d"]) -> Float32[ndarray, " n"]:
        """Return the cosines."""
        return cosine(a, b)


class AlignedCrops:
    """Crops of faces, aligned by five points to an embedder's template."""

    def __init__(self, session: ModelSession) -> None:
        if not isinstance(session.spec, EmbedderSpec):
            raise BadModel(f"{session.spec.model} is not an embedder")
        self.spec: EmbedderSpec = session.spec
        self._template = align.template(self.spec.template, self.spec.size)

    def __call__(self, picture: ImagePyramid, points: Float32[ndarray, "n 5 2"]) -> ndarray:
        """Return uint8 (n, size, size, 3)."""
        return align.warp(picture, align.umeyama(points, self._template), self.spec.size)


def cosine(a: Float32[ndarray, "n d"], b: Float32[ndarray, "n d"]) -> Float32[ndarray, " n"]:
    """Return the cosines of pairs of unit vectors, -1 to 1."""
    return np.clip((a * b).sum(axis=1), -1.0, 1.0)
