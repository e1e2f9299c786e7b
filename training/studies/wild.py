"""Why a net trained on faces cut by their labels fails in the wild.

    python -m training.studies.wild --data DATA

The first tutorial cut training faces by boxes made from their labels; served, it was fed a detector's boxes.
Here one small net is trained twice on upright squares: cut by the labels' boxes as they are, and cut by the
same boxes, each moved and scaled as our detector's box of some validation face differs from its labels'. Both
are tested on 300-W's test set with either kind of box. Writes a table into the page, a plot, and all figures
as JSON.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import keras
import numpy as np
import typer
from jaxtyping import Float32
from matplotlib.figure import Figure
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.detector import DetectOptions, Detector
from app.runtime.timing import Timing
from app.vision import align, boxes
from app.vision.points import five_of_ibug68
from app.vision.pyramid import ImagePyramid
from training import cards, landmark_report, page
from training.data import batches, crops
from training.data.prepare import apart, continued, corners_of, data_hash
from training.data.sources import READERS, SPLITS, Sample, Split, with_validation
from training.landmark_errors import load_detector
from training.matching import box_of, labelled
from training.metrics import Interval, interval, mean, nme
from training.studies import compact

SPAN, MARGIN = 80, 2.0
"""Pixels of a prepared crop that the square spans, and the crop's side over that."""

DRAWS = 4
"""How many squares are cut around each training face: one epoch is as many passes over the faces."""

VALIDATION = 0.08

Samples = Mapping[Split, list[Sample]]

AS_THEY_ARE, JITTERED = "labels' boxes as they are", "labels' boxes with the detector's jitter"
LABELS, DETECTOR, MOVED = "labels' boxes", "detector's boxes", "detector's boxes, mean difference undone"


@dataclass(frozen=True)
class Spread:
    """How the detector's squares differ from the labels': mean, deviation and root mean square, each (3,).

    The differences are x and y of the centre over the labels' side, and log2 of the sides' ratio.
    """

    faces: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    rms: tuple[float, ...]

    @staticmethod
    def of(differences: Float32[ndarray, "n 3"]) -> "Spread":
        """The spread of measured differences."""
        rows = (differences.mean(axis=0), differences.std(axis=0), np.sqrt((differences**2).mean(axis=0)))
        return Spread(len(differences), *(tuple(row.tolist()) for row in rows))


def points_of(samples: list[Sample]) -> Float32[ndarray, "n 68 2"]:
    """The samples' labels."""
    return np.stack([s.points for s in samples])


def squares_of(points: Float32[ndarray, "n k 2"]) -> Float32[ndarray, "n 4"]:
    """The squares around the boxes of the labelled points and their pixels."""
    pixel = np.array([0, 0, 1, 1], np.float32)
    return boxes.square(np.stack([box_of(p) + pixel for p in points]))


def differences(label: Float32[ndarray, "n 4"], found: Float32[ndarray, "n 4"]) -> Float32[ndarray, "n 3"]:
    """From the labels' squares to the detector's: `Spread`'s three numbers."""
    side, other = (s[:, 2:3] - s[:, :1] for s in (label, found))
    centre = (found[:, :2] + found[:, 2:] - label[:, :2] - label[:, 2:]) / 2
    return np.concatenate([centre / side, np.log2(other / side)], axis=1)


def moved(label: Float32[ndarray, "n 4"], by: Float32[ndarray, "n 3"]) -> Float32[ndarray, "n 4"]:
    """The squares that differ so from the labels'."""
    side = label[:, 2:3] - label[:, :1]
    centre = (label[:, :2] + label[:, 2:]) / 2 + side * by[:, :2]
    half = side / 2 * 2 ** by[:, 2:]
    return np.concatenate([centre - half, centre + half], axis=1)


def undone(found: Float32[ndarray, "n 4"], spread: Spread) -> Float32[ndarray, "n 4"]:
    """The detector's squares, moved and scaled so that on average they lie on the labels'."""
    dx, dy, scale = spread.mean
    back = np.array([-dx / 2**scale, -dy / 2**scale, -scale], np.float32)
    return moved(found, np.tile(back, (len(found), 1)))


def detected(samples: list[Sample], detector: Detector) -> Float32[ndarray, "n 4"]:
    """The squares around the detector's boxes, NaN where it does not find the face."""
    out = np.full((len(samples), 4), np.nan, np.float32)
    for i, sample in enumerate(tqdm(samples, "detect", disable=None, leave=False)):
        faces = detector.detect(ImagePyramid(sample.pixels()), DetectOptions(), Timing())
        chosen = labelled(faces, sample.points)
        if chosen is not None:
            out[i] = boxes.square(faces.boxes[[chosen]])[0]
    return out


def upright(samples: list[Sample], squares: Float32[ndarray, "n 4"], margin: float = 1.0) -> crops.Crops:
    """The samples as upright crops by their squares, `margin` times as large."""
    side = round(SPAN * margin)
    transforms = align.of_boxes(squares, SPAN)
    transforms[:, :, 2] += (side - SPAN) / 2
    images, corners = [], []
    for sample, transform in zip(tqdm(samples, "cut", disable=None, leave=False), transforms, strict=True):
        pixels = sample.pixels()
        images.append(continued(pixels, transform[None], side))
        corners.append(align.apply(transform[None], corners_of(pixels.shape[1], pixels.shape[0])[None])[0])
    points = align.apply(transforms, np.stack([s.points for s in samples]))
    return crops.Crops(
        images=np.stack(images),
        points=points,
        five=five_of_ibug68(points),
        transforms=transforms,
        corners=np.stack(corners),
        detected=np.zeros(len(samples), bool),
        names=tuple(s.name for s in samples),
        photos=tuple(s.photo for s in samples),
        span=SPAN,
    )


def without_twins(samples: Samples) -> Samples:
    """The samples without photographs that a later split holds too."""
    faces = {split: upright(some, squares_of(points_of(some)), MARGIN) for split, some in samples.items()}
    left_out = apart(faces)
    return {split: [s for s in some if s.name not in left_out[split]] for split, some in samples.items()}


def prepare(samples: Samples, off: Float32[ndarray, "m 3"], folder: Path, seed: int) -> None:
    """Writes what `training.train` reads: `DRAWS` crops a face, by differences drawn from those given."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    splits: tuple[Split, ...] = ("train", "validation")
    for split in splits:
        some = samples[split] * DRAWS
        squares = moved(squares_of(points_of(some)), off[rng.integers(0, len(off), len(some))])
        crops.save(folder / f"{split}.tfrecord", upright(some, squares))
    facts = {"study": "wild", "sha256": data_hash(folder)}
    (folder / "prepare.json").write_text(json.dumps(facts) + "\n")


def errors(
    net: keras.Model, samples: list[Sample], squares: Float32[ndarray, "n 4"]
) -> Float32[ndarray, " n"]:
    """The net's error on each sample cut by its square; NaN where there is none."""
    out = np.full(len(samples), np.nan, np.float32)
    known = np.flatnonzero(np.isfinite(squares).all(axis=1))
    transforms = align.of_boxes(squares[known], compact.SIZE)
    images = np.concatenate(
        [
            align.warp(ImagePyramid(samples[i].pixels()), t[None], compact.SIZE)
            for i, t in zip(known, transforms, strict=True)
        ]
    )
    unit = np.asarray(net.predict(images.astype(np.float32), batch_size=64, verbose=0))
    found = align.apply(align.invert(transforms), batches.from_unit(unit, compact.SIZE))
    out[known] = nme(found, np.stack([samples[i].points for i in known]), "ibug68")
    return out


def main(
    data: Annotated[Path, typer.Option(help="the folder that holds the datasets")],
    models: Annotated[Path, typer.Option(help="the model store with the detector")] = Path("models"),
    cache: Annotated[Path, typer.Option(help="where prepared crops go")] = Path("cache"),
    runs: Annotated[Path, typer.Option(help="where the trainings and the JSON go")] = Path("runs"),
    to: Annotated[Path, typer.Option(help="the page that is rewritten")] = Path("docs/landmarks.md"),
    plot: Annotated[Path, typer.Option(help="the plot")] = Path("docs/images/wild.png"),
    epochs: int = 6,
    seed: int = 0,
) -> None:
    """Trains the net both ways, and tests both on both kinds of box."""
    listed = with_validation(READERS["300w"](data), VALIDATION, seed)
    samples = without_twins({split: [s for s in listed if s.split == split] for split in SPLITS})
    detector = load_detector(models)
    off = differences(squares_of(points_of(samples["validation"])), detected(samples["validation"], detector))
    off = off[np.isfinite(off).all(axis=1)]
    spread = Spread.of(off)
    nets = {}
    for how, drawn in ((AS_THEY_ARE, np.zeros_like(off)), (JITTERED, off)):
        name = f"wild-{'before' if how == AS_THEY_ARE else 'after'}"
        if not (cache / name / "prepare.json").exists():
            prepare(samples, drawn, cache / name, seed)
        run = compact.settings(name, "mean_squared", compact.LIGHT, epochs, seed)
        nets[how] = compact.trained(run, cache / name, runs)
    label, found = squares_of(points_of(samples["test"])), detected(samples["test"], detector)
    tested = {LABELS: label, DETECTOR: found, MOVED: undone(found, spread)}
    by_face = {
        how: {box: errors(net, samples["test"], squares) for box, squares in tested.items()}
        for how, net in nets.items()
    }
    table = {
        how: {box: interval(mean, e[np.isfinite(e)]) for box, e in row.items()}
        for how, row in by_face.items()
    }
    missed = int(np.isnan(found[:, 0]).sum())
    text = page.measured(report(spread, table, cards.recorded(models), missed))
    print(text)
    figures = {how: {box: asdict(e) for box, e in row.items()} for how, row in table.items()}
    facts = {"spread": asdict(spread), "undetected": missed, "epochs": epochs, "seed": seed, "error": figures}
    (runs / "wild.json").write_text(json.dumps(facts, indent=2) + "\n")
    draw(off, table, plot)
    page.fill(to, "wild", text)


def report(
    spread: Spread,
    table: Mapping[str, Mapping[str, Interval]],
    recorded: dict[str, cards.Figures],
    missed: int,
) -> str:
    """The study in Markdown: the boxes' difference, the nets' errors, and what the served nets do."""
    rows = [[how, *(_percent(row[box]) for box in (LABELS, DETECTOR, MOVED))] for how, row in table.items()]
    for model, figures in recorded.items():
        fed = (landmark_report.GIVEN, landmark_report.END_TO_END)
        known = [landmark_report.recorded_figure(figures, "ibug68", way, "mean") for way in fed]
        if any(known):
            rows.append([f"`{model}`, served: aligned by five points", *known, ""])
    names = (
        "x of the centre, of the labels' side",
        "y of the centre, of the labels' side",
        "log2 of the side",
    )
    boxes_differ = [
        [name, f"{m:+.3f}", f"{d:.3f}", f"{r:.3f}"]
        for name, m, d, r in zip(names, spread.mean, spread.deviation, spread.rms, strict=True)
    ]
    return "\n\n".join(
        [
            f"The detector's squares less the labels', on {spread.faces} validation faces:",
            page.table(["difference", "mean", "deviation", "root mean square"], boxes_differ),
            f"Mean error over the outer-eye distance on `lfpw/testset` (the detector misses {missed} faces):",
            page.table(["trained on", *(f"tested on {box}" for box in (LABELS, DETECTOR, MOVED))], rows),
        ]
    )


def _percent(figure: Interval) -> str:
    return f"{100 * figure.value:.2f}% ({100 * figure.low:.2f} to {100 * figure.high:.2f})"


def draw(off: Float32[ndarray, "n 3"], table: Mapping[str, Mapping[str, Interval]], path: Path) -> None:
    """A plot: where the detector's squares lie, and the nets' errors with their intervals."""
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    known = off[np.isfinite(off).all(axis=1)]
    dots = left.scatter(known[:, 0], known[:, 1], c=2 ** known[:, 2], s=10, cmap="viridis")
    figure.colorbar(dots, ax=left, label="side over the labels' side")
    left.plot(0, 0, "r+", markersize=12)
    left.set(
        title="the detector's squares against the labels'",
        xlabel="x of the centre, of the labels' side",
        ylabel="y, downwards",
        aspect="equal",
    )
    left.invert_yaxis()
    kinds = (LABELS, DETECTOR, MOVED)
    for i, (how, row) in enumerate(table.items()):
        at = np.arange(len(kinds)) + (i - 0.5) * 0.36
        values = np.array([[row[box].value, row[box].low, row[box].high] for box in kinds]) * 100
        bars = (values[:, 0] - values[:, 1], values[:, 2] - values[:, 0])
        right.bar(at, values[:, 0], 0.34, yerr=bars, capsize=3, label=how)
    right.set_xticks(range(len(kinds)), [kind.replace(", ", ",\n") for kind in kinds])
    right.set(title="error by the boxes it is tested on", ylabel="mean error over the outer-eye distance, %")
    figure.legend(*right.get_legend_handles_labels(), title="trained on", loc="outside lower right", ncols=2)
    for axis in (left, right):
        axis.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    typer.run(main)
