"""Quality of a face for recognition: the expected share of comparisons that accept it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.vision.scores import sigmoid
from app.vision.spec import QualitySpec

_LEAST = 1e-3
"""Added to a distance before its logarithm is taken."""


@dataclass(frozen=True)
class Signals:
    """What is known about the quality of n faces; greater values are better.

    Attributes:
        norm: length of the embedder's vector before it is normalised.
        presence: logit of the presence of a face, by the face mesh.
        steadiness: -log of the mean distance between the detected and the refined five points, in eye
            distances.
    """

    norm: Float32[ndarray, " n"]
    presence: Float32[ndarray, " n"]
    steadiness: Float32[ndarray, " n"]


def signals(
    norms: Float32[ndarray, " n"],
    presence: Float32[ndarray, " n"],
    detected: Float32[ndarray, "n 5 2"],
    refined: Float32[ndarray, "n 5 2"],
) -> Signals:
    """Return the signals of n faces.

    Args:
        norms: lengths of the embedder's vectors.
        presence: logits of the presence of a face.
        detected: the five points of the detector, in pixels.
        refined: the refined five points, in pixels.
    """
    eyes = np.linalg.norm(refined[:, 1] - refined[:, 0], axis=1)
    moved = np.linalg.norm(refined - detected, axis=2).mean(axis=1) / np.maximum(eyes, 1e-6)
    return Signals(norm=norms, presence=presence, steadiness=-np.log(moved + np.float32(_LEAST)))


def quality(given: Signals, spec: QualitySpec) -> Float32[ndarray, " n"]:
    """Return the quality of n faces, 0 to 1.

    Args:
        given: the signals.
        spec: the coefficients.
    """
    total = np.full(len(given.norm), spec.bias, np.float32)
    for name, values in vars(given).items():
        total += np.float32(getattr(spec, name)) * values
    return sigmoid(total)
