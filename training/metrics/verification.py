"""Measures of verification: LFW's ten folds, ROC, AUC, EER, TAR, and the choice of thresholds.

A greater similarity means more alike. An undetected face enters as NaN and is an error: a genuine pair with
it is never accepted, and an impostor pair with it is never counted as rejected correctly in the folds.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int
from numpy import ndarray
from sklearn.metrics import auc as area_under
from sklearn.metrics import roc_curve


@dataclass(frozen=True)
class FoldResult:
    """Mean accuracy over the folds, its standard error, and the mean of the chosen thresholds."""

    accuracy: float
    standard_error: float
    threshold: float


def ten_folds(similarity: ndarray, same: Bool[ndarray, " n"], folds: Int[ndarray, " n"]) -> FoldResult:
    """Return LFW's accuracy: each fold is measured with the threshold that is best on the other folds.

    Args:
        similarity: similarities of the pairs (n,); NaN for an undetected face.
        same: whether a pair is genuine.
        folds: the fold of each pair.
    """
    accuracies, thresholds = [], []
    for fold in np.unique(folds):
        held_out = folds == fold
        threshold = best_threshold(similarity[~held_out], same[~held_out])
        accuracies.append(accuracy(similarity[held_out], same[held_out], threshold))
        thresholds.append(threshold)
    spread = np.std(accuracies, ddof=1) / np.sqrt(len(accuracies))
    return FoldResult(float(np.mean(accuracies)), float(spread), float(np.mean(thresholds)))


def split_folds(same: Bool[ndarray, " n"], count: int = 10, seed: int = 0) -> Int[ndarray, " n"]:
    """Return random fold numbers, with genuine and impostor pairs spread evenly over the folds."""
    folds = np.empty(len(same), int)
    rng = np.random.default_rng(seed)
    for label in (False, True):
        index = rng.permutation(np.flatnonzero(same == label))
        folds[index] = np.arange(len(index)) % count
    return folds


def accuracy(similarity: ndarray, same: Bool[ndarray, " n"], threshold: float) -> float:
    """Return the share of pairs that the threshold classifies correctly; NaN is always wrong."""
    known = ~np.isnan(similarity)
    return float((known & ((similarity >= threshold) == same)).mean())


def best_threshold(similarity: ndarray, same: Bool[ndarray, " n"]) -> float:
    """Return the threshold with the greatest accuracy, midway between two similarities."""
    known = ~np.isnan(similarity)
    values, labels = similarity[known], same[known]
    order = np.argsort(values)
    values, labels = values[order], labels[order]
    # Number of correct pairs if all from position i on are accepted: genuine at or after i, impostors
    # before i.
    correct = np.concatenate([[labels.sum()], labels.sum() + np.cumsum(np.where(labels, -1, 1))])
    best = int(correct.argmax())
    edges = np.concatenate([[values[0] - 1e-6], (values[1:] + values[:-1]) / 2, [values[-1] + 1e-6]])
    return float(edges[best])


def tar(genuine: ndarray, threshold: float) -> float:
    """Return the true accept rate: the share of genuine similarities at or above the threshold."""
    return float((np.nan_to_num(genuine, nan=-np.inf) >= threshold).mean())


def roc(
    similarity: ndarray, same: Bool[ndarray, " n"]
) -> tuple[Float64[ndarray, " t"], Float64[ndarray, " t"]]:
    """Return the false accept rates and the true accept rates, both rising, at all thresholds."""
    lowest = np.nanmin(similarity) if np.isfinite(similarity).any() else 0.0
    known = np.nan_to_num(similarity, nan=float(lowest) - 1.0)
    fars, tars, _ = roc_curve(same, known, drop_intermediate=False)
    return fars, tars


def auc(similarity: ndarray, same: Bool[ndarray, " n"]) -> float:
    """Return the area under the ROC curve."""
    return float(area_under(*roc(similarity, same)))


def eer(similarity: ndarray, same: Bool[ndarray, " n"]) -> float:
    """Return the equal error rate, where the false accept rate equals the false reject rate."""
    fars, tars = roc(similarity, same)
    i = int(np.argmin(np.abs(fars - (1 - tars))))
    return float((fars[i] + 1 - tars[i]) / 2)
