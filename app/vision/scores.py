"""Conversion between probabilities and logits."""

import numpy as np
from jaxtyping import Float32
from numpy import ndarray


def logit(scores: Float32[ndarray, " n"]) -> Float32[ndarray, " n"]:
    """Return the logits of probabilities, which are clipped to [1e-6, 1 - 1e-6]."""
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped))


def sigmoid(logits: Float32[ndarray, " n"]) -> Float32[ndarray, " n"]:
    """Return the probabilities for logits."""
    return (1 / (1 + np.exp(-logits))).astype(np.float32)
