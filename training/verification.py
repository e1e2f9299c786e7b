"""The field's measures of verification: LFW's ten folds, ROC, TAR at FAR, EER, and threshold choice.

Similarities: greater means more alike. An undetected face enters as NaN and is an error: never
accepted for a genuine pair, never refused rightly for an impostor pair.
"""

from dataclasses import dataclass

import numpy as np
from numpy import ndarray


@dataclass(frozen=True)
class FoldResult:
    """Mean accuracy over the folds, its standard error, and the mean of the thresholds chosen."""

    accuracy: float
    standard_error: float
    threshold: float


def ten_folds(similarity: ndarray, same: ndarray, folds: ndarray) -> FoldResult:
    """LFW's protocol: the threshold that is best on the other folds, applied to each fold."""
    accuracies, thresholds = [], []
    for fold in np.unique(folds):
        held = folds == fold
        threshold = best_threshold(similarity[~held], same[~held])
        accuracies.append(accuracy(similarity[held], same[held], threshold))
        thresholds.append(threshold)
    spread = np.std(accuracies, ddof=1) / np.sqrt(len(accuracies))
    return FoldResult(float(np.mean(accuracies)), float(spread), float(np.mean(thresholds)))


def split_folds(same: ndarray, count: int = 10, seed: int = 0) -> ndarray:
    """Fold numbers for a set of pairs that has none, genuine and impostor pairs spread evenly."""
    folds = np.empty(len(same), int)
    rng = np.random.default_rng(seed)
    for label in (False, True):
        index = rng.permutation(np.flatnonzero(same == label))
        folds[index] = np.arange(len(index)) % count
    return folds


def accuracy(similarity: ndarray, same: ndarray, threshold: float) -> float:
    """Share of pairs answered rightly; a pair without a similarity is answered wrongly."""
    known = ~np.isnan(similarity)
    return float((known & ((similarity >= threshold) == same)).mean())


def best_threshold(similarity: ndarray, same: ndarray) -> float:
    """The threshold of greatest accuracy, in the middle of the gap between two similarities."""
    known = ~np.isnan(similarity)
    values, labels = similarity[known], same[known]
    order = np.argsort(values)
    values, labels = values[order], labels[order]
    # accepting everything from position i on: genuine at or after i, impostors before i
    right = np.concatenate([[labels.sum()], labels.sum() + np.cumsum(np.where(labels, -1, 1))])
    best = int(right.argmax())
    edges = np.concatenate([[values[0] - 1e-6], (values[1:] + values[:-1]) / 2, [values[-1] + 1e-6]])
    return float(edges[best])


def threshold_at_far(impostors: ndarray, far: float) -> float:
    """The lowest threshold that accepts at most the share `far` of the impostor similarities.

    Raises ValueError where there are too few impostors to tell such a rate.
    """
    values = np.sort(impostors[~np.isnan(impostors)])[::-1]
    allowed = int(np.floor(far * len(values)))
    if allowed < 1:
        raise ValueError(f"{len(values)} impostor pairs cannot tell a false accept rate of {far:g}")
    return float(np.nextafter(np.float32(values[allowed]), np.float32(np.inf)))


def tar(genuine: ndarray, threshold: float) -> float:
    """True accept rate: the share of genuine pairs at or over the threshold; a missing face is none."""
    return float((np.nan_to_num(genuine, nan=-np.inf) >= threshold).mean())


def roc(similarity: ndarray, same: ndarray) -> tuple[ndarray, ndarray]:
    """False and true accept rates, both rising, over all thresholds."""
    values = np.nan_to_num(similarity, nan=-np.inf)
    order = np.argsort(-values, kind="stable")
    hits = same[order]
    tars = np.concatenate([[0], np.cumsum(hits) / max(1, hits.sum())])
    fars = np.concatenate([[0], np.cumsum(~hits) / max(1, (~hits).sum())])
    return fars, tars


def auc(similarity: ndarray, same: ndarray) -> float:
    """Area under the ROC curve."""
    fars, tars = roc(similarity, same)
    return float(np.trapezoid(tars, fars))


def eer(similarity: ndarray, same: ndarray) -> float:
    """Equal error rate: where false accepts and false rejects meet."""
    fars, tars = roc(similarity, same)
    i = int(np.argmin(np.abs(fars - (1 - tars))))
    return float((fars[i] + 1 - tars[i]) / 2)
