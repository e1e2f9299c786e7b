"""Verification measured end to end: detector, alignment, embedder, LFW's pairs, and threshold calibration."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions
from app.pipeline.embedder import Embedder
from app.pipeline.faces import Timing
from app.vision.image import decode
from app.vision.pyramid import Octaves
from app.vision.spec import Calibration, Probability
from training import verification
from training.calibration import Calibrated, fit_probability, read_calibration, write_calibration
from training.data.lfw import read_pairs
from training.data.people import Picture

MAX_PIXELS = 50_000_000
FARS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)
REPORTED = (1e-2, 1e-3, 1e-4)
DEFAULT_FAR = 1e-3
_ROWS = 4096


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
    probability: Probability | None
    curve: tuple[ndarray, ndarray]

    def lines(self, pairs_file: str) -> list[str]:
        """What is printed of them."""
        curve = self.probability
        return [
            f"{self.model} on LFW {pairs_file}: {self.pairs} pairs, "
            f"{len(self.undetected)} pictures without a face",
            f"  accuracy, 10 folds  {self.accuracy:.4f} +- {self.standard_error:.4f}",
            f"  mean threshold      {self.threshold:.4f}",
            f"  AUC {self.auc:.5f}, EER {self.eer:.4f}",
            *(
                f"  FAR {c.far:<6g} threshold {c.threshold:.4f}  TAR {c.tar:.4f}  FRR {1 - c.tar:.4f}"
                for c in self.calibration
            ),
            *([] if curve is None else [f"  probability sigmoid({curve.slope:.3f} s {curve.offset:+.3f})"]),
            *(f"  no face: {missing}" for missing in self.undetected),
        ]

    def rows(self, pairs_file: str) -> dict[str, str]:
        """What goes onto the model's card."""
        on = f"LFW {pairs_file}".replace("LFW pairsDevTest.txt", "LFW View 1 pairsDevTest")
        return {
            f"{on}, accuracy (10 folds)": f"{self.accuracy:.4f} +- {self.standard_error:.4f}",
            f"{on}, pictures without a face": str(len(self.undetected)),
            f"{on}, AUC": f"{self.auc:.5f}",
            f"{on}, EER": f"{self.eer:.4f}",
            **{f"{on}, TAR at FAR {far}": f"{tar:.3f}" for far, tar in self.tar_at_far.items()},
        }


@dataclass(frozen=True)
class Rate:
    """What a calibrated threshold does to other people's pairs."""

    promised: float
    threshold: float
    far: float
    tar: float


@dataclass(frozen=True)
class Rates:
    """What `python -m training.evaluate rates` prints for one model."""

    people: int
    genuine: int
    impostors: int
    undetected: list[str]
    rows: list[Rate]
    tar_at_far: dict[str, float]


def embed_pictures(
    analyzer: Analyzer, model: str, paths: list[Path], people: list[str] | None = None
) -> Embedded:
    """What is compared of the largest face of each picture, by the service's own way."""
    embedder = analyzer.embedder(model)
    size = embedder.spec.dimension
    vectors = np.full((len(paths), size), np.nan, np.float32)
    undetected = []
    for i, path in enumerate(tqdm(paths, desc=model, unit="picture", disable=None)):
        image = decode(path.read_bytes(), MAX_PIXELS, "image")
        picture = Octaves(image)
        detector = analyzer.detector(None)
        face = detector.detect(picture, DetectOptions(), Timing()).largest(picture.width, picture.height)
        if len(face) == 0:
            undetected.append(path.name)
        else:
            vectors[i] = embedder.represent(picture, detector.refine(picture, face.points))[0]
    owners = np.array(people or [path.parent.name for path in paths])
    return Embedded(vectors, owners, {path: i for i, path in enumerate(paths)}, undetected)


def similarities(embedder: Embedder, a: ndarray, b: ndarray) -> ndarray:
    """The similarities of rows of vectors (n, d), NaN where one of the two is missing."""
    out = np.full(len(a), np.nan, np.float32)
    known = np.flatnonzero(~np.isnan(a[:, 0]) & ~np.isnan(b[:, 0]))
    for part in np.array_split(known, max(1, len(known) // _ROWS)):
        if len(part):
            out[part] = embedder.compare(a[part], b[part])
    return out


def all_similarities(embedder: Embedder, found: Embedded) -> tuple[ndarray, ndarray]:
    """The similarities of all genuine pairs, and of all impostor pairs, of the pictures with a face."""
    known = np.flatnonzero(~np.isnan(found.vectors[:, 0]))
    vectors, people = found.vectors[known], found.people[known]
    genuine, impostors = [], []
    for i in range(len(known) - 1):
        rest = vectors[i + 1 :]
        values = similarities(embedder, np.broadcast_to(vectors[i], rest.shape), rest)
        same = people[i + 1 :] == people[i]
        genuine.append(values[same])
        impostors.append(values[~same])
    return np.concatenate(genuine), np.concatenate(impostors)


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
    embedder = analyzer.embedder(model)
    a, b = (
        found.vectors[[found.index[side] for side in sides]]
        for sides in ([p.a for p in pairs], [p.b for p in pairs])
    )
    similarity = similarities(embedder, a, b)
    same = np.array([pair.same for pair in pairs])
    folds = np.array([pair.fold for pair in pairs])
    if len(np.unique(folds)) == 1:
        folds = verification.split_folds(same)
    result = verification.ten_folds(similarity, same, folds)
    impostors = all_similarities(embedder, found)[1]
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
        {f"{c.far:g}": c.tar for c in calibration if c.far in REPORTED},
        found.undetected,
        calibration,
        None if embedder.spec.metric == "probability" else fit_probability(genuine, impostors),
        verification.roc(similarity, same),
    )


def measure_rates(analyzer: Analyzer, model: str, pictures: list[Picture], most: int) -> Rates:
    """The calibrated thresholds on every pair of other people's pictures, at most so many of each person.

    A picture without a face makes all its genuine pairs wrong: they are refused.
    """
    taken: Counter[str] = Counter()
    chosen = []
    for picture in pictures:
        taken[picture.person] += 1
        if taken[picture.person] <= most:
            chosen.append(picture)
    found = embed_pictures(analyzer, model, [p.path for p in chosen], [p.person for p in chosen])
    embedder = analyzer.embedder(model)
    seen, impostors = all_similarities(embedder, found)
    sizes = np.array(list(Counter(p.person for p in chosen).values()))
    genuine = np.full(int((sizes * (sizes - 1) // 2).sum()), np.nan, np.float32)
    genuine[: len(seen)] = seen
    rows = [
        Rate(
            c.far,
            c.threshold,
            float((impostors >= c.threshold).mean()),
            verification.tar(genuine, c.threshold),
        )
        for c in embedder.spec.thresholds
    ]
    at = {
        f"{far:g}": verification.tar(genuine, verification.threshold_at_far(impostors, far))
        for far in REPORTED
        if far * len(impostors) >= 1
    }
    return Rates(len(sizes), len(genuine), len(impostors), found.undetected, rows, at)


def keep_calibration(models: Path, figures: VerificationFigures, pairs_file: str) -> None:
    """Keeps an embedder's thresholds where `make models` finds them, beside those of the others."""
    known = read_calibration(models)
    known[figures.model] = Calibrated(
        calibrated_on=f"all impostor pairs of the pictures of LFW's {pairs_file}; TAR on its genuine pairs",
        thresholds=tuple(figures.calibration),
        default_far=DEFAULT_FAR,
        probability=figures.probability,
    )
    write_calibration(models, known)


def plot(curves: Mapping[str, tuple[ndarray, ndarray]], path: Path, title: str) -> None:
    """ROC curves by model: true accepts over false ones, on a logarithmic scale, as PNG."""
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.subplots()
    for name, (fars, tars) in curves.items():
        axes.step(fars, tars, where="post", label=name)
    axes.set(xscale="log", xlabel="false accept rate", ylabel="true accept rate", title=title)
    axes.set_xlim(1e-3, 1)
    axes.grid(True, which="both", alpha=0.3)
    axes.legend(loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
