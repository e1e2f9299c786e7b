"""Embedding: a face's crop, aligned by five points, to a vector of length 1; and two faces' similarity."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.errors import BadModel
from app.runtime.session import ModelSession
from app.vision import align
from app.vision.pyramid import Octaves
from app.vision.spec import ComparedSpec, EmbedderSpec, FusionSpec, HeadSpec


@runtime_checkable
class Embedder(Protocol):
    """A model of vectors. `spec` says how two of them are held against each other."""

    @property
    def spec(self) -> ComparedSpec: ...

    def __call__(self, picture: Octaves, points: Float32[ndarray, "n 5 2"]) -> Float32[ndarray, "n d"]:
        """Unit vectors (n, dimension) for faces with five points each."""

    def represent(self, picture: Octaves, points: Float32[ndarray, "n 5 2"]) -> Float32[ndarray, "n d"]:
        """What `compare` takes: the unit vectors, unless a head judges something else."""

    def compare(self, a: Float32[ndarray, "n d"], b: Float32[ndarray, "n d"]) -> Float32[ndarray, " n"]:
        """The similarities (n,) of two faces each; greater means more alike."""


class NetEmbedder:
    """One net on faces aligned by five points; vectors are compared by their cosine."""

    def __init__(self, session: ModelSession) -> None:
        if not isinstance(session.spec, EmbedderSpec):
            raise BadModel(f"{session.spec.model} is no embedder")
        self.spec: EmbedderSpec = session.spec
        self._session = session
        self._template = align.template(self.spec.template, self.spec.size)

    def __call__(self, picture: Octaves, points: Float32[ndarray, "n 5 2"]) -> Float32[ndarray, "n d"]:
        """Unit vectors (n, dimension) for faces with five points each."""
        return self.vectors(picture, points, self.spec.flip_average)

    def vectors(
        self, picture: Octaves, points: Float32[ndarray, "n 5 2"], flip_average: bool
    ) -> Float32[ndarray, "n d"]:
        """The same, with the mirrored crop's vector added before normalising or without."""
        crops = self._crops(picture, points)
        if not flip_average:
            return self._session.run(crops)["embedding"]
        both = self._session.run(np.concatenate([crops, crops[:, :, ::-1]]))["embedding"]
        total = both[: len(crops)] + both[len(crops) :]
        return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)

    def represent(self, picture: Octaves, points: Float32[ndarray, "n 5 2"]) -> Float32[ndarray, "n d"]:
        """The unit vectors."""
        return self(picture, points)

    def compare(self, a: Float32[ndarray, "n d"], b: Float32[ndarray, "n d"]) -> Float32[ndarray, " n"]:
        """Their cosines."""
        return cosine(a, b)

    def _crops(self, picture: Octaves, points: ndarray) -> ndarray:
        return align.warp(picture, align.umeyama(points, self._template), self.spec.size)


class PairEmbedder(NetEmbedder):
    """A Siamese network: a branch for each face, and a head that judges two branches' answers."""

    def __init__(self, branch: ModelSession, head: ModelSession) -> None:
        super().__init__(branch)
        if not isinstance(head.spec, HeadSpec) or head.spec.dimension != self.spec.dimension:
            raise BadModel(f"{head.spec.model}: its head does not take its branch's answer")
        self._head = head

    def represent(self, picture: Octaves, points: Float32[ndarray, "n 5 2"]) -> Float32[ndarray, "n d"]:
        """The branch's answers, as they are."""
        return self._session.run(self._crops(picture, points))["branch"]

    def compare(self, a: Float32[ndarray, "n d"], b: Float32[ndarray, "n d"]) -> Float32[ndarray, " n"]:
        """The probabilities that they are one person's."""
        return self._head.run(np.stack([a, b], axis=1))["probability"][:, 0]


class FusedEmbedder:
    """Several embedders' vectors, end to end, made one by a small net; compared by their cosine."""

    def __init__(self, parts: Sequence[Embedder], session: ModelSession) -> None:
        if not isinstance(session.spec, FusionSpec):
            raise BadModel(f"{session.spec.model} is no fusion")
        self.spec: FusionSpec = session.spec
        nets = [part for part in parts if type(part) is NetEmbedder]
        if len(nets) != len(self.spec.flip_average):
            raise BadModel(f"{self.spec.model} is made of nets whose vectors are compared by their cosine")
        given = sum(part.spec.dimension for part in parts)
        if given != self.spec.inputs:
            raise BadModel(f"{self.spec.model} takes {self.spec.inputs} numbers, and its parts give {given}")
        self._parts = list(zip(nets, self.spec.flip_average, strict=True))
        self._session = session

    def __call__(self, picture: Octaves, points: Float32[ndarray, "n 5 2"]) -> Float32[ndarray, "n d"]:
        """Unit vectors (n, dimension) for faces with five points each."""
        vectors = [part.vectors(picture, points, flip) for part, flip in self._parts]
        return self._session.run(np.concatenate(vectors, axis=1))["embedding"]

    def represent(self, picture: Octaves, points: Float32[ndarray, "n 5 2"]) -> Float32[ndarray, "n d"]:
        """The unit vectors."""
        return self(picture, points)

    def compare(self, a: Float32[ndarray, "n d"], b: Float32[ndarray, "n d"]) -> Float32[ndarray, " n"]:
        """Their cosines."""
        return cosine(a, b)


def cosine(a: Float32[ndarray, "n d"], b: Float32[ndarray, "n d"]) -> Float32[ndarray, " n"]:
    """The cosines of unit vectors, -1 to 1."""
    return np.clip((a * b).sum(axis=1), -1.0, 1.0)
