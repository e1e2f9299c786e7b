"""Embedding: a face's crop, aligned by five points, to a vector of length 1."""

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.errors import BadModel
from app.runtime.session import ModelSession
from app.vision import align
from app.vision.pyramid import Octaves
from app.vision.spec import EmbedderSpec


class Embedder:
    """An embedding net on faces aligned by five points."""

    def __init__(self, session: ModelSession) -> None:
        if not isinstance(session.spec, EmbedderSpec):
            raise BadModel(f"{session.spec.model} is no embedder")
        self.spec: EmbedderSpec = session.spec
        self._session = session
        self._template = align.template(self.spec.template, self.spec.size)

    def __call__(self, picture: Octaves, points: Float32[ndarray, "n 5 2"]) -> Float32[ndarray, "n d"]:
        """Unit vectors (n, dimension) for faces with five points each."""
        crops = align.warp(picture, align.umeyama(points, self._template), self.spec.size)
        if not self.spec.flip_average:
            return self._session.run(crops)["embedding"]
        both = self._session.run(np.concatenate([crops, crops[:, :, ::-1]]))["embedding"]
        total = both[: len(crops)] + both[len(crops) :]
        return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
