"""Measure an embedder on LFW's pairs end to end."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from app.pipeline.analyzer import Analyzer
from app.pipeline.calibration import Pairs, threshold_at_far
from app.pipeline.embedder import Embedder
from app.vision.spec import Calibration
from training.data.datasets.lfw import Pair
from training.evaluation.face_vectors import LocatedFaces, locate, represent, similarities
from training.metrics import verification

REPORTED_FARS = (1e-2, 1e-3, 1e-4)
"""False accept rates in reports."""


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
        at_far: threshold and true accept rate for false accept rates of these images.
        undetected: names of the images without a detected face.
        curve: false accept rates and true accept rates at all thresholds.
    """

    model: str
    pairs: int
    accuracy: float
    standard_error: float
    threshold: float
    auc: float
    eer: float
    at_far: list[Calibration]
    undetected: list[str]
    curve: tuple[Float64[ndarray, " t"], Float64[ndarray, " t"]]


def locate_pairs(analyzer: Analyzer, pairs: list[Pair]) -> LocatedFaces:
    """Return the largest faces in the images of the pairs, each image once."""
    return locate(analyzer, sorted({path for pair in pairs for path in (pair.a, pair.b)}))


def measure(
    analyzer: Analyzer, embedder: Embedder, pairs: list[Pair], faces: LocatedFaces
) -> VerificationFigures:
    """Return the figures of an embedder by LFW's protocol.

    False accept rates are those of all impostor pairs of the images, about a million in View 1, because the
    listed pairs are too few for a rate of 1e-4. True accept rates are those of the listed genuine pairs. A
    pair with an undetected face is an error.

    Args:
        analyzer: the models that align the faces.
        embedder: the embedder.
        pairs: the listed pairs; if all have the same fold, they are split into ten random folds.
        faces: the faces in the images of the pairs.
    """
    vectors = represent(analyzer, embedder, faces)
    index = {path: i for i, path in enumerate(faces.paths)}
    a, b = [index[pair.a] for pair in pairs], [index[pair.b] for pair in pairs]
    similarity = similarities(embedder, vectors[a], vectors[b])
    same = np.array([pair.same for pair in pairs])
    folds = np.array([pair.fold for pair in pairs])
    if len(np.unique(folds)) == 1:
        folds = verification.split_folds(same)
    result = verification.ten_folds(similarity, same, folds)
    all_pairs = Pairs(embedder, vectors, faces.people)
    rates = [far for far in REPORTED_FARS if far * len(all_pairs.impostors) >= 1]
    thresholds = {far: threshold_at_far([all_pairs], far) for far in rates}
    return VerificationFigures(
        model=embedder.spec.model,
        pairs=len(pairs),
        accuracy=result.accuracy,
        standard_error=result.standard_error,
        threshold=result.threshold,
        auc=verification.auc(similarity, same),
        eer=verification.eer(similarity, same),
        at_far=[
            Calibration(far=far, threshold=threshold, tar=verification.tar(similarity[same], threshold))
            for far, threshold in thresholds.items()
        ],
        undetected=faces.undetected,
        curve=verification.roc(similarity, same),
    )
