"""Verification: whether two vectors are of one person."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.errors import BadParameter
from app.vision.spec import EmbedderSpec


@dataclass(frozen=True)
class Verdict:
    """The similarity (greater means more alike), the threshold it was held against, and the answer."""

    similarity: float
    threshold: float
    far: float | None

    @property
    def verified(self) -> bool:
        return self.similarity >= self.threshold


def threshold_for(spec: EmbedderSpec, far: float) -> float:
    """The calibrated threshold for a false accept rate: one of those calibrated, else between two of them.

    Between two calibrated rates the threshold runs straight in log10 of the rate. Raises BadParameter
    outside the calibrated range.
    """
    table = sorted(spec.thresholds, key=lambda c: c.far)
    if not table or not table[0].far <= far <= table[-1].far:
        known = f"{table[0].far:g} to {table[-1].far:g}" if table else "none"
        raise BadParameter(f"far={far:g} is outside what {spec.model} is calibrated for ({known})", "far")
    return float(np.interp(np.log10(far), [np.log10(c.far) for c in table], [c.threshold for c in table]))


def verify(
    spec: EmbedderSpec,
    a: Float32[ndarray, " d"],
    b: Float32[ndarray, " d"],
    threshold: float | None,
    far: float | None,
) -> Verdict:
    """Cosine similarity of two unit vectors against a threshold, or the one calibrated for `far`."""
    if threshold is not None and far is not None:
        raise BadParameter("give threshold or far, not both", "far")
    if threshold is None:
        far = spec.default_far if far is None else far
        if far is None:
            raise BadParameter(f"{spec.model} has no calibrated threshold: give one", "threshold")
        threshold = threshold_for(spec, far)
    return Verdict(float(np.clip(a @ b, -1.0, 1.0)), threshold, far)
