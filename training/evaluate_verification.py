"""Verification measured end to end: detector, alignment, embedder, LFW's pairs, and threshold calibration."""

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions
from app.pipeline.embedder import CosineEmbedder, Embedder, SiameseEmbedder
from app.runtime.device import Device
from app.runtime.session import OrtSession
from app.runtime.timing import Timing
from app.vision.pyramid import ImagePyramid
from app.vision.spec import Calibration, Probability
from training import recipes, verification
from training.calibration import Calibrated, fit_probability, read_calibration, write_calibration
from training.data.images import read_image
from training.data.lfw import Pair
from training.data.people import Picture
from training.importers.packages import CACHE

FARS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)
REPORTED = (1e-2, 1e-3, 1e-4)
DEFAULT_FAR = 1e-3
_ROWS = 4096


@dataclass(frozen=True)
class Located:
    """Pictures and their people, and the five points of each one's largest face, NaN where none was found."""

    paths: list[Path]
    people: ndarray
    points: ndarray

    @property
    def undetected(self) -> list[str]:
        return [p.name for p, five in zip(self.paths, self.points, strict=True) if np.isnan(five).any()]


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

    def lines(self, model: str, sets: str) -> list[str]:
        """What is printed of them."""
        return [
            f"{model} on {sets}: {self.people} people, {self.genuine} genuine pairs, "
            f"{self.impostors} impostor pairs, {len(self.undetected)} pictures without a face",
            *(
                f"  promised FAR {row.promised:<6g} threshold {row.threshold:.4f}  "
                f"measured FAR {row.far:.2e} ({row.far / row.promised:.2f} times)  TAR {row.tar:.4f}"
                for row in self.rows
            ),
            *(f"  TAR {tar:.4f} at a measured FAR of {far}" for far, tar in self.tar_at_far.items()),
        ]

    def on_card(self, sets: str) -> dict[str, str]:
        """What goes onto the model's card."""
        return {
            f"{sets}, measured FAR where {row.promised:g} is promised": f"{row.far:.2e}" for row in self.rows
        } | {f"{sets}, TAR at FAR {far}": f"{tar:.3f}" for far, tar in self.tar_at_far.items()}


def locate(analyzer: Analyzer, paths: list[Path], people: list[str] | None = None) -> Located:
    """The largest face of each picture, by the service's own way; people are folders where none are given."""
    detector = analyzer.detector(None)
    points = np.full((len(paths), 5, 2), np.nan, np.float32)
    for i, path in enumerate(tqdm(paths, desc="faces", unit="picture", disable=None)):
        picture = _picture(path)
        face = detector.detect(picture, DetectOptions(), Timing()).largest(picture.width, picture.height)
        if len(face):
            points[i] = detector.refine_points(picture, face.points)[0]
    return Located(paths, np.array(people or [path.parent.name for path in paths]), points)


def represent(embedder: Embedder, located: Located) -> ndarray:
    """What is compared of each face (n, d), NaN where there is none."""
    vectors = np.full((len(located.paths), embedder.spec.dimension), np.nan, np.float32)
    seen = np.flatnonzero(~np.isnan(located.points).any(axis=(1, 2)))
    for i in tqdm(seen, desc=embedder.spec.model, unit="picture", disable=None):
        vectors[i] = embedder.represent(_picture(located.paths[i]), located.points[i][None])[0]
    return vectors


def _picture(path: Path) -> ImagePyramid:
    return ImagePyramid(read_image(path))


def similarities(embedder: Embedder, a: ndarray, b: ndarray) -> ndarray:
    """The similarities of rows of vectors (n, d), NaN where one of the two is missing."""
    out = np.full(len(a), np.nan, np.float32)
    known = np.flatnonzero(~np.isnan(a[:, 0]) & ~np.isnan(b[:, 0]))
    for part in np.array_split(known, max(1, len(known) // _ROWS)):
        if len(part):
            out[part] = embedder.compare(a[part], b[part])
    return out


def all_similarities(embedder: Embedder, vectors: ndarray, people: ndarray) -> tuple[ndarray, ndarray]:
    """The similarities of all genuine pairs, and of all impostor pairs, of the pictures with a face."""
    known = np.flatnonzero(~np.isnan(vectors[:, 0]))
    vectors, people = vectors[known], people[known]
    genuine, impostors = [], []
    for i in range(len(known) - 1):
        rest = vectors[i + 1 :]
        values = similarities(embedder, np.broadcast_to(vectors[i], rest.shape), rest)
        same = people[i + 1 :] == people[i]
        genuine.append(values[same])
        impostors.append(values[~same])
    return np.concatenate(genuine), np.concatenate(impostors)


def located_pairs(analyzer: Analyzer, pairs: list[Pair]) -> Located:
    """The pictures of the pairs, each once."""
    return locate(analyzer, sorted({path for pair in pairs for path in (pair.a, pair.b)}))


def measure(embedder: Embedder, pairs: list[Pair], located: Located) -> VerificationFigures:
    """LFW's protocol for one embedder, and its thresholds for false accept rates.

    Thresholds are calibrated on every impostor pair among the pictures (about a million for View 1),
    since a thousand pairs cannot tell a rate of 1e-4; the true accept rates are those of the genuine pairs.
    """
    vectors = represent(embedder, located)
    index = {path: i for i, path in enumerate(located.paths)}
    sides = [
        vectors[[index[path] for path in paths]] for paths in ([p.a for p in pairs], [p.b for p in pairs])
    ]
    similarity = similarities(embedder, sides[0], sides[1])
    same = np.array([pair.same for pair in pairs])
    folds = np.array([pair.fold for pair in pairs])
    if len(np.unique(folds)) == 1:
        folds = verification.split_folds(same)
    result = verification.ten_folds(similarity, same, folds)
    impostors = all_similarities(embedder, vectors, located.people)[1]
    genuine = similarity[same]
    calibration = []
    for far in FARS:
        threshold = verification.threshold_at_far(impostors, far)
        calibration.append(
            Calibration(far=far, threshold=round(threshold, 4), tar=verification.tar(genuine, threshold))
        )
    return VerificationFigures(
        embedder.spec.model,
        len(pairs),
        result.accuracy,
        result.standard_error,
        result.threshold,
        verification.auc(similarity, same),
        verification.eer(similarity, same),
        {f"{c.far:g}": c.tar for c in calibration if c.far in REPORTED},
        located.undetected,
        calibration,
        None if embedder.spec.metric == "probability" else fit_probability(genuine, impostors),
        verification.roc(similarity, same),
    )


def embedder_of(run: Path) -> Embedder:
    """A training run's embedder, exported as it would be served."""
    with tempfile.TemporaryDirectory() as folder:
        sessions = []
        for recipe in recipes.faces_of(run):
            file = Path(folder) / recipe.file
            recipe.write(recipe.net(CACHE), file, file.with_suffix(".npz"))
            sessions.append(OrtSession(file, Device("cpu")))
    return SiameseEmbedder(*sessions) if len(sessions) == 2 else CosineEmbedder(sessions[0])


def at_most(pictures: list[Picture], most: int) -> list[Picture]:
    """The first so many pictures of everyone."""
    taken: Counter[str] = Counter()
    chosen = []
    for picture in pictures:
        taken[picture.person] += 1
        if taken[picture.person] <= most:
            chosen.append(picture)
    return chosen


def measure_rates(embedder: Embedder, located: Located) -> Rates:
    """The calibrated thresholds on every pair of other people's pictures.

    A picture without a face makes all its genuine pairs wrong: they are refused.
    """
    seen, impostors = all_similarities(embedder, represent(embedder, located), located.people)
    sizes = np.array(list(Counter(located.people.tolist()).values()))
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
    return Rates(len(sizes), len(genuine), len(impostors), located.undetected, rows, at)


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
    """ROC curves by model: true accepts over false ones, all of them and the top tenth, as PNG."""
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    for axes, least in zip(figure.subplots(1, 2), (0.0, 0.9), strict=True):
        for name, (fars, tars) in curves.items():
            axes.step(fars, tars, where="post", label=name)
        axes.set(xscale="log", xlabel="false accept rate", ylabel="true accept rate")
        axes.set_xlim(1e-3, 1)
        axes.set_ylim(least, 1 + (1 - least) / 50)
        axes.grid(True, which="both", alpha=0.3)
    axes.legend(loc="lower right")
    figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
