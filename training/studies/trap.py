"""The first tutorial's trap: a loss that learns the shape of a face and not its place.

    python -m training.studies.trap --data cache/300w

TensorFlow 1's `mean_pairwise_squared_error`, taken for mean squared error, compares differences of
coordinates alone: add one number to all of them, and it does not notice. One small net is trained with
either, everything else alike; both are measured on the prepared test faces, and drawn on photographs.
Writes a table into the page, the picture, and all figures as JSON.
"""

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import keras
import numpy as np
import typer
from jaxtyping import Float32
from matplotlib.figure import Figure
from numpy import ndarray
from PIL import Image

from app.pipeline.detector import DetectOptions, Detector
from app.runtime.timing import Timing
from app.vision import align
from app.vision.points import IBUG68_EDGES
from app.vision.pyramid import ImagePyramid
from training import page
from training.config import LossName
from training.data import batches, crops
from training.data.images import read_image
from training.landmark_errors import load_detector
from training.metrics import Interval, interval, mean, reach
from training.studies import compact

LOSSES: dict[LossName, str] = {
    "mean_squared": "mean squared error",
    "pairwise_squared": "pairwise squared error",
}
PHOTOS = tuple(Path("tests/photos") / name for name in ("astronaut.png", "obama.jpg", "biden.jpg"))


def parts(
    found: Float32[ndarray, "n 68 2"], truth: Float32[ndarray, "n 68 2"]
) -> dict[str, Float32[ndarray, " n"]]:
    """The error by face over the outer-eye distance: whole, of the shape, of the place, and its two ways.

    The place's error is that of the points' mean, and the shape's what is left without it. `along` is the
    part of the place's error to which x and y add the same, `across` the part to which they add the opposite.
    """
    unit = reach(truth, "ibug68")
    residual = found - truth
    offset = residual.mean(axis=1)
    shape = np.linalg.norm(residual - offset[:, None], axis=2).mean(axis=1)
    return {
        "whole": np.linalg.norm(residual, axis=2).mean(axis=1) / unit,
        "shape": shape / unit,
        "place": np.linalg.norm(offset, axis=1) / unit,
        "place, along": np.abs(offset.sum(axis=1)) / np.float32(np.sqrt(2)) / unit,
        "place, across": np.abs(offset[:, 0] - offset[:, 1]) / np.float32(np.sqrt(2)) / unit,
    }


def measure(net: keras.Model, faces: crops.Crops) -> dict[str, Interval]:
    """Those errors of a net on prepared faces."""
    images, truth = batches.plain(faces, compact.SIZE)
    found = np.asarray(net.predict(images.astype(np.float32), batch_size=64, verbose=0), np.float32)
    in_pixels = (batches.from_unit(unit, compact.SIZE) for unit in (found, truth))
    return {name: interval(mean, errors) for name, errors in parts(*in_pixels).items()}


def marked(net: keras.Model, picture: ImagePyramid, detector: Detector) -> tuple[ndarray, ndarray]:
    """The largest face's box (4,) and the net's points (68, 2) on it. Raises ValueError without a face."""
    faces = detector.detect(picture, DetectOptions(), Timing()).largest(picture.width, picture.height)
    if len(faces) == 0:
        raise ValueError("no face is found on the photograph")
    transform = align.umeyama(faces.points, align.template("face", compact.SIZE))
    crop = align.warp(picture, transform, compact.SIZE).astype(np.float32)
    unit = np.asarray(net.predict(crop, verbose=0), np.float32)
    return faces.boxes[0], align.apply(align.invert(transform), batches.from_unit(unit, compact.SIZE))[0]


def draw(nets: dict[LossName, keras.Model], photos: list[Path], detector: Detector, path: Path) -> None:
    """Every net's points on every photograph: a row a loss."""
    figure = Figure(figsize=(3.2 * len(photos), 3.3 * len(nets)), layout="constrained")
    grid = figure.subplots(len(nets), len(photos), squeeze=False)
    for column, photo in enumerate(photos):
        picture = ImagePyramid(read_image(photo))
        answers = [marked(net, picture, detector) for net in nets.values()]
        reached = np.concatenate([answers[0][0].reshape(2, 2), *(points for _, points in answers)])
        low, high = reached.min(axis=0), reached.max(axis=0)
        middle, half = (low + high) / 2, 0.58 * (high - low).max()
        for row, ((_, points), loss) in enumerate(zip(answers, nets, strict=True)):
            axis = grid[row, column]
            axis.imshow(picture[0])
            for a, b in IBUG68_EDGES:
                axis.plot(*points[[a, b]].T, color="#ffd166", linewidth=0.8)
            axis.scatter(*points.T, s=7, color="#ffd166", edgecolors="#10141c", linewidths=0.4, zorder=3)
            axis.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] + half, middle[1] - half))
            axis.set(xticks=[], yticks=[], facecolor="#dddddd", aspect="equal")
            if column == 0:
                axis.set_ylabel(LOSSES[loss])
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=80)
    Image.open(drawn).convert("RGB").quantize(256).save(path, optimize=True)


def report(figures: dict[LossName, dict[str, Interval]], faces: int) -> str:
    """The errors in Markdown."""
    rows = [
        [
            LOSSES[loss],
            *(f"{100 * e.value:.1f}% ({100 * e.low:.1f} to {100 * e.high:.1f})" for e in row.values()),
        ]
        for loss, row in figures.items()
    ]
    head = ["trained with", *next(iter(figures.values()))]
    title = f"Mean error over the outer-eye distance on {faces} prepared faces of `lfpw/testset`:"
    return f"{title}\n\n{page.table(head, rows)}"


def main(
    data: Annotated[Path, typer.Option(help="the folder that prepare wrote")] = Path("cache/300w"),
    models: Annotated[Path, typer.Option(help="the model store with the detector")] = Path("models"),
    runs: Annotated[Path, typer.Option(help="where the trainings and the JSON go")] = Path("runs"),
    photo: Annotated[list[Path] | None, typer.Option(help="drawn on; several may be named")] = None,
    to: Annotated[Path, typer.Option(help="the page that is rewritten")] = Path("docs/landmarks.md"),
    picture: Annotated[Path, typer.Option(help="the picture")] = Path("docs/images/trap.png"),
    epochs: int = 12,
    seed: int = 0,
) -> None:
    """Trains the net with both losses, measures and draws."""
    nets: dict[LossName, keras.Model] = {
        loss: compact.trained(compact.settings(f"trap-{loss}", loss, compact.LIGHT, epochs, seed), data, runs)
        for loss in LOSSES
    }
    faces = crops.load(data / "test.tfrecord")
    figures = {loss: measure(net, faces) for loss, net in nets.items()}
    text = page.measured(report(figures, len(faces)))
    print(text)
    rows = {loss: {k: asdict(e) for k, e in row.items()} for loss, row in figures.items()}
    facts = {"epochs": epochs, "seed": seed, "faces": len(faces), "error": rows}
    (runs / "trap.json").write_text(json.dumps(facts, indent=2) + "\n")
    draw(nets, list(photo or PHOTOS), load_detector(models), picture)
    page.fill(to, "trap", text)


if __name__ == "__main__":
    typer.run(main)
