"""Measure an embedder on LFW's pairs end to end, and calibrate its thresholds and its probability."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from app.pipeline.analyzer import Analyzer
from app.pipeline.embedder import Embedder
from app.vision.spec import Calibration, Probability
from training.data.datasets.lfw import Pair
from training.evaluation.face_vectors import LocatedFaces, all_similarities, locate, represent, similarities
from training.exporting.calibration import Calibrated, fit_probability, read_calibration, write_calibration
from training.metrics import verification

FARS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)
"""False accept rates of the calibrated thresholds."""

REPORTED_FARS = (1e-2, 1e-3, 1e-4)
DEFAULT_FAR = 1e-3


@dataclass(frozen=True)
class VerificationFigures:
    """The figures of one embedder on a list of pairs.

    Attributes:
        model: name of the embedder.
        pairs: number of pairs.
        accuracy: mean accuracy over ten folds.
        standard_error: standard error of the accuracy over the folds.
        threshold: mean of the folds' thresholds.
        auc: area under the ROC curve.
        eer: equal error rate.
        tar_at_far: true accept rate by false accept rate.
        undetected: names of the images without a detected face.
        calibration: calibrated thresholds.
        probability: curve from similarity to probability; None if the similarity is a probability.
        curve: false accept rates and true accept rates at all thresholds.
    """

    model: str
    pairs: int
    accuracy: float
    standard_error: float
    threshold: float
    auc: float
    eer: float
    tar_at_far: dict[str, float]
    undetected: list[str]
    calibration: list[Calibration]
    probability: Probability | None
    curve: tuple[Float64[ndarray, " t"], Float64[ndarray, " t"]]


def locate_pairs(analyzer: Analyzer, pairs: list[Pair]) -> LocatedFaces:
    """Return the largest faces in the images of the pairs, each image once."""
    return locate(analyzer, sorted({path for pair in pairs for path in (pair.a, pair.b)}))


def measure(embedder: Embedder, pairs: list[Pair], faces: LocatedFaces) -> VerificationFigures:
    """Return the figures of an embedder by LFW's protocol, and its calibrated thresholds.

    The thresholds are calibrated on all impostor pairs of the images, about a million in View 1, because the
    listed pairs are too few for a false accept rate of 1e-4. True accept rates are those of the listed
    genuine pairs. A pair with an undetected face is an error.

    Args:
        embedder: the embedder.
        pairs: the listed pairs; if all have the same fold, they are split into ten random folds.
        faces: the faces in the images of the pairs.
    """
    vectors = represent(embedder, faces)
    index = {path: i for i, path in enumerate(faces.paths)}
    a, b = [index[pair.a] for pair in pairs], [index[pair.b] for pair in pairs]
    similarity = similarities(embedder, vectors[a], vectors[b])
    same = np.array([pair.same for pair in pairs])
    folds = np.array([pair.fold for pair in pairs])
    if len(np.unique(folds)) == 1:
        folds = verification.split_folds(same)
    result = verification.ten_folds(similarity, same, folds)
    _, impostors = all_similarities(embedder, vectors, faces.people)
    genuine = similarity[same]
    calibration = [_calibrate(genuine, impostors, far) for far in FARS]
    return VerificationFigures(
        model=embedder.spec.model,
        pairs=len(pairs),
        accuracy=result.accuracy,
        standard_error=result.standard_error,
        threshold=result.threshold,
        auc=verification.auc(similarity, same),
        eer=verification.eer(similarity, same),
        tar_at_far={f"{c.far:g}": c.tar for c in calibration if c.far in REPORTED_FARS},
        undetected=faces.undetected,
        calibration=calibration,
        probability=None if embedder.spec.metric == "probability" else fit_probability(genuine, impostors),
        curve=verification.roc(similarity, same),
    )


def _calibrate(genuine: ndarray, impostors: ndarray, far: float) -> Calibration:
    threshold = verification.threshold_at_far(impostors, far)
    return Calibration(far=far, threshold=round(threshold, 4), tar=verification.tar(genuine, threshold))


def keep_calibration(models: Path, figures: VerificationFigures, pairs_file: str) -> None:
    """Write the calibration of an embedder to the model store, for the next export of the embedder.

    Args:
        models: the model store.
        figures: the figures of the embedder.
        pairs_file: name of LFW's pairs file.
    """
    known = read_calibration(models)
    known[figures.model] = Calibrated(
        calibrated_on=f"all impostor pairs of the images of LFW's {pairs_file}; TAR on its genuine pairs",
        thresholds=tuple(figures.calibration),
        default_far=DEFAULT_FAR,
        probability=figures.probability,
    )
    write_calibration(models, known)
