"""Embedding: turns aligned crops of a face into a unit vector, and compares two faces."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.errors import BadModel
from app.runtime.session import ModelSession
from app.vision import align
from app.vision.pyramid import ImagePyramid
from app.vision.spec import ComparedSpec, EmbedderSpec, FusionSpec, HeadSpec


@dataclass(frozen=True)
class FacePoints:
    """Two estimates of the five points of faces, in pixels of the image.

    Attributes:
        crop: the points that align the crop.
        mirrored: the points that align the crop that is then mirrored.
    """

    crop: Float32[ndarray, "n 5 2"]
    mirrored: Float32[ndarray, "n 5 2"]


@runtime_checkable
class Embedder(Protocol):
    """A model that turns faces into vectors and compares them."""

    @property
    def spec(self) -> ComparedSpec:
        """How two vectors are compared."""

    def __call__(self, picture: ImagePyramid, points: FacePoints) -> Float32[ndarray, "n d"]:
        """Return the embeddings of faces, vectors of length 1.

        Args:
            picture: the image.
            points: the points of the faces.
        """

    def represent(self, picture: ImagePyramid, points: FacePoints) -> Float32[ndarray, "n d"]:
        """Return the input of `compare`: the embeddings, or the branch outputs of a Siamese network.

        Args:
            picture: the image.
            points: the points of the faces.
        """

    def compare(self, a: Float32[ndarray, "n d"], b: Float32[ndarray, "n d"]) -> Float32[ndarray, " n"]:
        """Return the similarities of n pairs of faces; greater means more similar.

        Args:
            a: outputs of `represent` for the first face of each pair.
            b: outputs of `represent` for the second face of each pair.
        """


class CosineEmbedder:
    """A single net on aligned faces. Two embeddings are compared by their cosine.

    Args:
        session: the session of the net.

    Attributes:
        spec: the spec of the net.

    Raises:
        BadModel: the net is not an embedder.
    """

    def __init__(self, session: ModelSession) -> None:
        self._crops = AlignedCrops(session)
        self.spec = self._crops.spec
        self._session = session

    def __call__(self, picture: ImagePyramid, points: FacePoints) -> Float32[ndarray, "n d"]:
        """Return the embeddings of faces; see `Embedder`."""
        return mean_vectors(self.vectors(picture, points, self.spec.flip_average).units)

    def vectors(self, picture: ImagePyramid, points: FacePoints, mirrored: bool) -> "CropVectors":
        """Return the vectors of the crops of faces.

        Args:
            picture: the image.
            points: the points of the faces.
            mirrored: whether to add the mirrored crops.
        """
        crops = self._crops(picture, points.crop)
        if mirrored:
            crops = np.concatenate([crops, self._crops(picture, points.mirrored)[:, :, ::-1]])
        out = self._session.run(crops)
        sides, n = (2 if mirrored else 1), len(points.crop)
        norms = out["norm"].reshape(sides, n) if "norm" in out else None
        return CropVectors(out["embedding"].reshape(sides, n, self.spec.dimension), norms)

    def represent(self, picture: ImagePyramid, points: FacePoints) -> Float32[ndarray, "n d"]:
        """Return the unit vectors."""
        return self(picture, points)

    def compare(self, a: Float32[ndarray, "n d"], b: Float32[ndarray, "n d"]) -> Float32[ndarray, " n"]:
        """Return the cosines."""
        return cosine(a, b)


@dataclass(frozen=True)
class CropVectors:
    """The vectors of the crops of faces.

    Attributes:
        units: the vectors of length 1, of the crops and, if requested, of the mirrored crops.
        norms: the lengths of the vectors before they were normalised; None if the net has no such output.
    """

    units: Float32[ndarray, "crops n d"]
    norms: Float32[ndarray, "crops n"] | None


class SiameseEmbedder:
    """A Siamese network: one branch per face, and a head that compares the outputs of two branches.

    Args:
        branch: the session of the branch.
        head: the session of the head.

    Attributes:
        spec: the spec of the branch.

    Raises:
        BadModel: the sessions are not a branch and a head that fit each other.
    """

    def __init__(self, branch: ModelSession, head: ModelSession) -> None:
        self._crops = AlignedCrops(branch)
        self.spec = self._crops.spec
        if not isinstance(head.spec, HeadSpec) or head.spec.dimension != self.spec.dimension:
            raise BadModel(f"The head of {head.spec.model} does not fit its branch.")
        self._branch = branch
        self._head = head

    def __call__(self, picture: ImagePyramid, points: FacePoints) -> Float32[ndarray, "n d"]:
        """Return the embeddings of faces; see `Embedder`."""
        return self._branch.run(self._crops(picture, points.crop))["embedding"]

    def represent(self, picture: ImagePyramid, points: FacePoints) -> Float32[ndarray, "n d"]:
        """Return the branch outputs of faces; see `Embedder`."""
        return self._branch.run(self._crops(picture, points.crop))["branch"]

    def compare(self, a: Float32[ndarray, "n d"], b: Float32[ndarray, "n d"]) -> Float32[ndarray, " n"]:
        """Return the probabilities that the faces of each pair are the same person; see `Embedder`."""
        return self._head.run(np.stack([a, b], axis=1))["probability"][:, 0]


class FusedEmbedder:
    """Several embedders whose concatenated embeddings a small net combines. Compared by the cosine.

    Args:
        parts: the embedders, in the order of the spec.
        session: the session of the fusion net.

    Attributes:
        spec: the spec of the fusion net.

    Raises:
        BadModel: the net is not a fusion net, or the parts do not fit it.
    """

    def __init__(self, parts: Sequence[Embedder], session: ModelSession) -> None:
        if not isinstance(session.spec, FusionSpec):
            raise BadModel(f"{session.spec.model} is not a fusion of embedders.")
        self.spec: FusionSpec = session.spec
        nets = [part for part in parts if isinstance(part, CosineEmbedder)]
        if len(nets) != len(self.spec.flip_average):
            raise BadModel(
                f"{self.spec.model} combines only nets whose vectors are compared by their cosine."
            )
        length = sum(part.spec.dimension for part in parts)
        if length != self.spec.inputs:
            raise BadModel(f"{self.spec.model} takes {self.spec.inputs} numbers; its parts give {length}.")
        self._parts = list(zip(nets, self.spec.flip_average, strict=True))
        self._session = session

    def __call__(self, picture: ImagePyramid, points: FacePoints) -> Float32[ndarray, "n d"]:
        """Return the embeddings of faces; see `Embedder`."""
        return self._fuse([mean_vectors(v.units) for v in self._vectors(picture, points)])

    def embed_and_measure(
        self, picture: ImagePyramid, points: FacePoints
    ) -> tuple[Float32[ndarray, "n d"], Float32[ndarray, " n"]]:
        """Return the embeddings of faces, and the lengths of the first part's vectors.

        Returns:
            The embeddings, and the lengths before normalising, the means over both crops.

        Raises:
            BadModel: the first part does not give the lengths.
        """
        vectors = self._vectors(picture, points)
        norms = vectors[0].norms
        if norms is None:
            raise BadModel(
                f"{self.spec.model} cannot measure quality: {self.spec.parts[0]} has no output norm. Make "
                "the models again with `make models`."
            )
        return self._fuse([mean_vectors(v.units) for v in vectors]), norms.mean(axis=0)

    def _vectors(self, picture: ImagePyramid, points: FacePoints) -> list[CropVectors]:
        return [part.vectors(picture, points, mirrored) for part, mirrored in self._parts]

    def _fuse(self, vectors: list[Float32[ndarray, "n d"]]) -> Float32[ndarray, "n e"]:
        return self._session.run(np.concatenate(vectors, axis=1))["embedding"]

    def represent(self, picture: ImagePyramid, points: FacePoints) -> Float32[ndarray, "n d"]:
        """Return the unit vectors."""
        return self(picture, points)

    def compare(self, a: Float32[ndarray, "n d"], b: Float32[ndarray, "n d"]) -> Float32[ndarray, " n"]:
        """Return the cosines."""
        return cosine(a, b)


class AlignedCrops:
    """Makes the aligned crops that an embedder reads.

    Args:
        session: the session of the embedder.

    Attributes:
        spec: the spec of the embedder.

    Raises:
        BadModel: the net is not an embedder.
    """

    def __init__(self, session: ModelSession) -> None:
        if not isinstance(session.spec, EmbedderSpec):
            raise BadModel(f"{session.spec.model} is not an embedder.")
        self.spec: EmbedderSpec = session.spec
        self._template = align.template(self.spec.template, self.spec.size)

    def __call__(self, picture: ImagePyramid, points: Float32[ndarray, "n 5 2"]) -> ndarray:
        """Return the crops, RGB (n, size, size, 3) uint8, of faces with five points each, in pixels."""
        return align.warp(picture, align.umeyama(points, self._template), self.spec.size)


def mean_vectors(units: Float32[ndarray, "crops n d"]) -> Float32[ndarray, "n d"]:
    """Return the means of the vectors of the crops of each face, normalised to length 1."""
    if len(units) == 1:
        return units[0]
    total = units.sum(axis=0)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def cosine(a: Float32[ndarray, "n d"], b: Float32[ndarray, "n d"]) -> Float32[ndarray, " n"]:
    """Return the cosines of n pairs of unit vectors, -1 to 1: exactly 1 for equal vectors.

    The product is divided by the lengths, because a unit vector in float32 has a length of nearly 1.
    """
    x, y = a.astype(np.float64), b.astype(np.float64)
    lengths = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    cosines = (x * y).sum(axis=1) / np.maximum(lengths, 1e-12)
    return np.clip(cosines, -1.0, 1.0).astype(np.float32)
