"""Verification measured end to end: detector, alignment, embedder, LFW's pairs, and threshold calibration."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions
from app.pipeline.faces import Timing
from app.vision.image import decode
from app.vision.pyramid import Octaves
from app.vision.spec import Calibration
from training import verification
from training.calibration import Calibrated, read_calibration, write_calibration
from training.data.lfw import Pair, read_pairs

MAX_PIXELS = 50_000_000
FARS = (1e-2, 1e-3, 1e-4)
DEFAULT_FAR = 1e-3


@dataclass(frozen=True)
class Embedded:
    """Every picture's vector (n, d), NaN where no face was found; the pictures' people; who is missing."""

    vectors: ndarray
    people: ndarray
    index: dict[Path, int]
    undetected: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class VerificationFigures:
    """What `python -m training.evaluate verification` prints for one model."""

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


def embed_pictures(analyzer: Analyzer, model: str, paths: list[Path]) -> Embedded:
    """The largest face's vector of each picture, by the service's own way."""
    size = analyzer.embedder(model).spec.dimension
    vectors = np.full((len(paths), size), np.nan, np.float32)
    undetected = []
    for i, path in enumerate(tqdm(paths, desc=model, unit="picture", disable=None)):
        image = decode(path.read_bytes(), MAX_PIXELS, "image")
        picture = Octaves(image)
        found = analyzer.detector(None).detect(picture, DetectOptions(), Timing())
        face = found.largest(picture.width, picture.height)
        if len(face) == 0:
            undetected.append(path.name)
        else:
            vectors[i] = analyzer.embedder(model)(picture, face.points)[0]
    people = np.array([path.parent.name for path in paths])
    return Embedded(vectors, people, {path: i for i, path in enumerate(paths)}, undetected)


def impostor_similarities(found: Embedded) -> ndarray:
    """The similarities of all pairs of pictures of different people, among the pictures with a face."""
    known = ~np.isnan(found.vectors[:, 0])
    vectors, people = found.vectors[known], found.people[known]
    similarity = vectors @ vectors.T
    a, b = np.triu_indices(len(vectors), k=1)
    return similarity[a, b][people[a] != people[b]]


def measure(
    analyzer: Analyzer, model: str, root: Path, pairs_file: str = "pairsDevTest.txt"
) -> VerificationFigures:
    """LFW's protocol for one embedder, and its thresholds for false accept rates.

    Thresholds are calibrated on every impostor pair among the pictures (about a million for View 1),
    since a thousand pairs cannot tell a rate of 1e-4; the true accept rates are those of the genuine pairs.
    """
    pairs = read_pairs(root, pairs_file)
    paths = sorted({path for pair in pairs for path in (pair.a, pair.b)})
    found = embed_pictures(analyzer, model, paths)
    similarity = pair_similarities(found, pairs)
    same = np.array([pair.same for pair in pairs])
    folds = np.array([pair.fold for pair in pairs])
    if len(np.unique(folds)) == 1:
        folds = verification.split_folds(same)
    result = verification.ten_folds(similarity, same, folds)
    impostors = impostor_similarities(found)
    genuine = similarity[same]
    calibration = []
    for far in FARS:
        threshold = verification.threshold_at_far(impostors, far)
        calibration.append(
            Calibration(far=far, threshold=round(threshold, 4), tar=verification.tar(genuine, threshold))
        )
    return VerificationFigures(
        model,
        len(pairs),
        result.accuracy,
        result.standard_error,
        result.threshold,
        verification.auc(similarity, same),
        verification.eer(similarity, same),
        {f"{c.far:g}": c.tar for c in calibration},
        found.undetected,
        calibration,
    )


def keep_calibration(models: Path, figures: VerificationFigures, pairs_file: str) -> None:
    """Keeps an embedder's thresholds where `make models` finds them, beside those of the others."""
    known = read_calibration(models)
    known[figures.model] = Calibrated(
        calibrated_on=f"all impostor pairs of the pictures of LFW's {pairs_file}; TAR on its genuine pairs",
        thresholds=tuple(figures.calibration),
        default_far=DEFAULT_FAR,
    )
    write_calibration(models, known)


def pair_similarities(found: Embedded, pairs: list[Pair]) -> ndarray:
    """Cosine similarity of each pair, NaN where a face is missing."""
    a = found.vectors[[found.index[pair.a] for pair in pairs]]
    b = found.vectors[[found.index[pair.b] for pair in pairs]]
    return (a * b).sum(axis=1)
