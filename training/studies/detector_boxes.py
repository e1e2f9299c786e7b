"""The error of a net that is trained on crops by the labels' boxes and tested on crops by a detector's boxes.

    python -m training.studies.detector_boxes --data DATA

The tutorial of Yin Guobing cut training faces by boxes made from their labels, and served a detector's boxes.
The small net is trained twice on upright squares: on the squares around the labels' boxes, and on the same
squares with offsets drawn from those of the detector on the validation faces. Both nets are tested on 300-W's
test set with either kind of box.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import keras
import numpy as np
import typer
from jaxtyping import Float32
from matplotlib.figure import Figure
from numpy import ndarray

from app.vision import align
from app.vision.pyramid import ImagePyramid
from training.data.batches import landmarks as landmark_batches
from training.data.datasets.landmark_sets import READERS, SPLITS, Sample, with_validation
from training.evaluation.landmarks import load_detector, read_test_samples
from training.evaluation.user_errors import one_line_errors
from training.metrics.landmarks import Interval, bootstrap, mean, nme
from training.reports import landmarks as landmark_report
from training.reports import markdown, model_cards
from training.studies import small_net
from training.studies.square_crops import (
    OffsetStatistics,
    detector_squares,
    is_prepared,
    label_squares,
    labelled_points,
    prepare,
    remove_mean,
    square_offsets,
    without_duplicates,
)

VALIDATION_SHARE = 0.08

TRAINED_ON_LABELS, TRAINED_ON_OFFSETS = "label boxes", "label boxes with the detector's offsets"
BOX_KINDS = LABEL_BOXES, DETECTOR_BOXES, CENTRED_BOXES = (
    "label boxes",
    "detector boxes",
    "detector boxes, mean offset removed",
)
RUNS = {TRAINED_ON_LABELS: "detector-boxes-labels", TRAINED_ON_OFFSETS: "detector-boxes-offsets"}

Figures = Mapping[str, Mapping[str, Interval]]
"""The mean NME by training and by kind of box."""


def errors(
    net: keras.Model, samples: list[Sample], squares: Float32[ndarray, "n 4"]
) -> Float32[ndarray, " n"]:
    """Return the NME of the net on each sample, cut by its square; NaN without a square."""
    result = np.full(len(samples), np.nan, np.float32)
    known = np.flatnonzero(np.isfinite(squares).all(axis=1))
    transforms = align.of_boxes(squares[known], small_net.SIZE)
    images = np.concatenate(
        [
            align.warp(ImagePyramid(samples[i].pixels()), t[None], small_net.SIZE)
            for i, t in zip(known, transforms, strict=True)
        ]
    )
    unit = np.asarray(net.predict(images.astype(np.float32), batch_size=64, verbose=0))
    predicted = align.apply(align.invert(transforms), landmark_batches.from_unit(unit, small_net.SIZE))
    result[known] = nme(predicted, labelled_points([samples[i] for i in known]), "ibug68")
    return result


def main(
    data: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="The folder that holds the datasets.")
    ],
    models: Annotated[Path, typer.Option(help="The model store with the detector.")] = Path("models"),
    cache: Annotated[Path, typer.Option(help="The folder of the prepared sets.")] = Path("cache"),
    runs: Annotated[Path, typer.Option(help="The folder of the runs and of the JSON file.")] = Path("runs"),
    page: Annotated[Path, typer.Option(help="The page whose tables are replaced.")] = Path(
        "docs/experiments/landmark-studies.md"
    ),
    out: Annotated[Path, typer.Option(help="The PNG file of the plot.")] = Path(
        "docs/images/detector-boxes.png"
    ),
    epochs: int = 6,
    seed: int = 0,
) -> None:
    """Train the net both ways; write tables, the plot, and all figures as JSON."""
    configs = {kind: small_net.config(name, "mean_squared", epochs, seed) for kind, name in RUNS.items()}
    for config in configs.values():
        small_net.check_recorded(config, runs)  # before minutes of detection
    read_test_samples(data, "300w", "ibug68")  # ends the command if the dataset is missing
    listed = with_validation(READERS["300w"](data), VALIDATION_SHARE, seed)
    samples = without_duplicates({split: [s for s in listed if s.split == split] for split in SPLITS})
    detector = load_detector(models)
    validation, test = samples["validation"], samples["test"]
    offsets = square_offsets(
        label_squares(labelled_points(validation)), detector_squares(validation, detector)
    )
    offsets = offsets[np.isfinite(offsets).all(axis=1)]
    statistics = OffsetStatistics.of(offsets)
    detected = detector_squares(test, detector)
    boxes = {
        LABEL_BOXES: label_squares(labelled_points(test)),
        DETECTOR_BOXES: detected,
        CENTRED_BOXES: remove_mean(detected, statistics),
    }
    figures = {}
    for training, drawn in ((TRAINED_ON_LABELS, np.zeros_like(offsets)), (TRAINED_ON_OFFSETS, offsets)):
        config = configs[training]
        if not is_prepared(cache / config.name, seed):
            prepare(samples, drawn, cache / config.name, seed)
        net = small_net.trained(config, cache / config.name, runs)
        by_face = {kind: errors(net, test, squares) for kind, squares in boxes.items()}
        figures[training] = {kind: bootstrap(mean, e[np.isfinite(e)]) for kind, e in by_face.items()}
    undetected = int(np.isnan(detected[:, 0]).sum())
    text = markdown.dated(report(statistics, figures, model_cards.recorded(models), undetected))
    print(text)
    facts = {
        "offsets": asdict(statistics),
        "undetected": undetected,
        "epochs": epochs,
        "seed": seed,
        "error": {name: {kind: asdict(e) for kind, e in row.items()} for name, row in figures.items()},
    }
    (runs / "detector-boxes.json").write_text(json.dumps(facts, indent=2) + "\n")
    plot(offsets, figures, out)
    markdown.fill(page, "detector-boxes", text)


def report(
    statistics: OffsetStatistics,
    figures: Figures,
    recorded: dict[str, model_cards.Figures],
    undetected: int,
) -> str:
    """Return the study in Markdown.

    Args:
        statistics: the offsets of the detector's squares.
        figures: the figures of the small nets.
        recorded: the recorded figures of the served nets.
        undetected: number of test faces that the detector misses.
    """
    rows = [[name, *(_percent(row[kind]) for kind in BOX_KINDS)] for name, row in figures.items()]
    for model, known in recorded.items():
        inputs = (landmark_report.GROUND_TRUTH, landmark_report.END_TO_END)
        cells = [landmark_report.recorded_figure(known, "ibug68", one, "nme") for one in inputs]
        if any(cells):
            rows.append([f"`{model}`, aligned by five points as in the service", *cells, ""])
    names = ("x of the centre / side", "y of the centre / side", "log2 of the ratio of the sides")
    offsets = [
        [name, f"{m:+.3f}", f"{d:.3f}", f"{r:.3f}"]
        for name, m, d, r in zip(names, statistics.mean, statistics.deviation, statistics.rms, strict=True)
    ]
    return "\n\n".join(
        [
            f"Offset of the detector's squares from the label squares, {statistics.faces} validation faces:",
            markdown.table(["offset", "mean", "standard deviation", "root mean square"], offsets),
            f"NME on `lfpw/testset` (undetected faces: {undetected}):",
            markdown.table(["trained on", *(f"tested on {kind}" for kind in BOX_KINDS)], rows),
        ]
    )


def _percent(figure: Interval) -> str:
    return f"{100 * figure.value:.2f}% ({100 * figure.low:.2f} to {100 * figure.high:.2f})"


def plot(offsets: Float32[ndarray, "n 3"], figures: Figures, path: Path) -> None:
    """Draw the offsets of the detector's squares and the figures of the nets as a PNG file."""
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    dots = left.scatter(offsets[:, 0], offsets[:, 1], c=2 ** offsets[:, 2], s=10, cmap="viridis")
    figure.colorbar(dots, ax=left, label="ratio of the sides")
    left.plot(0, 0, "r+", markersize=12)
    left.set(
        title="offset of the detector's squares from the label squares",
        xlabel="x of the centre / side",
        ylabel="y of the centre / side, downwards",
        aspect="equal",
    )
    left.invert_yaxis()
    for i, (name, row) in enumerate(figures.items()):
        x = np.arange(len(BOX_KINDS)) + (i - 0.5) * 0.36
        values = np.array([[row[kind].value, row[kind].low, row[kind].high] for kind in BOX_KINDS]) * 100
        bars = (values[:, 0] - values[:, 1], values[:, 2] - values[:, 0])
        right.bar(x, values[:, 0], 0.34, yerr=bars, capsize=3, label=name)
    right.set_xticks(range(len(BOX_KINDS)), [kind.replace(", ", ",\n") for kind in BOX_KINDS])
    right.set(title="error by kind of box in the test", ylabel="NME, %")
    figure.legend(*right.get_legend_handles_labels(), title="trained on", loc="outside lower right", ncols=2)
    for axis in (left, right):
        axis.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    with one_line_errors():
        typer.run(main)
