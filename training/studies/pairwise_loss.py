"""The pairwise squared error as a loss of landmarks: it learns the shape of a face, but not its position.

    python -m training.studies.pairwise_loss --data cache/300w

The tutorial of Yin Guobing first took `mean_pairwise_squared_error` of TensorFlow 1 for the mean squared
error. It compares differences of coordinates only, so a constant error of all coordinates costs nothing. The
small net is trained with either loss, all else equal. Both nets are measured on the prepared test faces and
drawn on photos.
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
from training.config.schema import LossName
from training.data.batches import landmarks as landmark_batches
from training.data.datasets.images import read_image
from training.data.storage import landmark_crops
from training.evaluation.landmarks import load_detector
from training.evaluation.user_errors import UserError, one_line_errors
from training.metrics.landmarks import Interval, bootstrap, interocular_distance, mean
from training.reports import markdown
from training.studies import small_net

LOSSES: dict[LossName, str] = {
    "mean_squared": "mean squared error",
    "pairwise_squared": "pairwise squared error",
}
PHOTOS = tuple(Path("tests/photos") / name for name in ("astronaut.png", "obama.jpg", "biden.jpg"))


def error_parts(
    predicted: Float32[ndarray, "n 68 2"], labels: Float32[ndarray, "n 68 2"]
) -> dict[str, Float32[ndarray, " n"]]:
    """Return the NME of each face and its parts, divided by the interocular distance, and the spread.

    The position error is the error of the mean of the points, and the shape error is the mean error after the
    position error is subtracted. `position, along` is the component of the position error in which x and y
    have the same error; `position, across` is the component in which they have opposite errors. `spread`
    is the distance of the points from the mean answer over that of the labels from the mean label. It is 0
    if the net has one answer for all faces.
    """
    interocular = interocular_distance(labels, "ibug68")
    residual = predicted - labels
    offset = residual.mean(axis=1)
    shape = np.linalg.norm(residual - offset[:, None], axis=2).mean(axis=1)
    diagonal = np.float32(np.sqrt(2))
    return {
        "NME": np.linalg.norm(residual, axis=2).mean(axis=1) / interocular,
        "shape": shape / interocular,
        "position": np.linalg.norm(offset, axis=1) / interocular,
        "position, along": np.abs(offset.sum(axis=1)) / diagonal / interocular,
        "position, across": np.abs(offset[:, 0] - offset[:, 1]) / diagonal / interocular,
        "spread": distance_from_mean(predicted) / distance_from_mean(labels).mean(),
    }


def distance_from_mean(points: Float32[ndarray, "n k 2"]) -> Float32[ndarray, " n"]:
    """Return the mean distance of the points of each face from those of the mean face."""
    distance: Float32[ndarray, " n"] = np.linalg.norm(points - points.mean(axis=0), axis=2).mean(axis=1)
    return distance


def measure(net: keras.Model, faces: landmark_crops.LandmarkCrops) -> dict[str, Interval]:
    """Return the mean of each of `error_parts` on prepared faces."""
    images, labels = landmark_batches.served_crops(faces, small_net.SIZE)
    predicted = np.asarray(net.predict(images.astype(np.float32), batch_size=64, verbose=0), np.float32)
    in_pixels = (landmark_batches.from_unit(unit, small_net.SIZE) for unit in (predicted, labels))
    return {name: bootstrap(mean, errors) for name, errors in error_parts(*in_pixels).items()}


def predict_photo(
    net: keras.Model, picture: ImagePyramid, detector: Detector
) -> tuple[Float32[ndarray, " 4"], Float32[ndarray, "68 2"]]:
    """Return the box of the largest face in a photo, and the points that the net predicts for it.

    Raises:
        UserError: the detector finds no face.
    """
    faces = detector.detect(picture, DetectOptions(), Timing()).largest(picture.width, picture.height)
    if len(faces) == 0:
        raise UserError("The detector finds no face in a photo. Choose other photos with --photo.")
    transform = align.umeyama(faces.points, align.template("face", small_net.SIZE))
    crop = align.warp(picture, transform, small_net.SIZE).astype(np.float32)
    unit = np.asarray(net.predict(crop, verbose=0), np.float32)
    points = align.apply(align.invert(transform), landmark_batches.from_unit(unit, small_net.SIZE))
    return faces.boxes[0], points[0]


def plot(nets: dict[LossName, keras.Model], photos: list[Path], detector: Detector, path: Path) -> None:
    """Draw the points of each net (rows) on each photo (columns) as a PNG file."""
    figure = Figure(figsize=(3.2 * len(photos), 3.3 * len(nets)), layout="constrained")
    grid = figure.subplots(len(nets), len(photos), squeeze=False)
    for column, photo in enumerate(photos):
        picture = ImagePyramid(read_image(photo))
        predictions = [predict_photo(net, picture, detector) for net in nets.values()]
        box = predictions[0][0].reshape(2, 2)
        extent = np.concatenate([box, *(points for _, points in predictions)])
        low, high = extent.min(axis=0), extent.max(axis=0)
        centre, half = (low + high) / 2, 0.58 * (high - low).max()
        for row, ((_, points), loss) in enumerate(zip(predictions, nets, strict=True)):
            axis = grid[row, column]
            axis.imshow(picture[0])
            for a, b in IBUG68_EDGES:
                axis.plot(*points[[a, b]].T, color="#ffd166", linewidth=0.8)
            axis.scatter(*points.T, s=7, color="#ffd166", edgecolors="#10141c", linewidths=0.4, zorder=3)
            axis.set(xlim=(centre[0] - half, centre[0] + half), ylim=(centre[1] + half, centre[1] - half))
            axis.set(xticks=[], yticks=[], facecolor="#dddddd", aspect="equal")
            if column == 0:
                axis.set_ylabel(LOSSES[loss])
    path.parent.mkdir(parents=True, exist_ok=True)
    png = io.BytesIO()
    figure.savefig(png, dpi=80)
    Image.open(png).convert("RGB").quantize(256).save(path, optimize=True)


def report(figures: dict[LossName, dict[str, Interval]], faces: int) -> str:
    """Return the figures in Markdown.

    Args:
        figures: the figures by loss.
        faces: number of test faces.
    """
    rows = [
        [
            LOSSES[loss],
            *(f"{100 * e.value:.1f}% ({100 * e.low:.1f} to {100 * e.high:.1f})" for e in parts.values()),
        ]
        for loss, parts in figures.items()
    ]
    head = ["trained with", *next(iter(figures.values()))]
    title = f"NME, its parts and the spread of the answers on {faces} prepared faces of `lfpw/testset`:"
    return f"{title}\n\n{markdown.table(head, rows)}"


def main(
    data: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="The folder that `prepare landmarks` wrote.")
    ] = Path("cache/300w"),
    models: Annotated[Path, typer.Option(help="The model store with the detector.")] = Path("models"),
    runs: Annotated[Path, typer.Option(help="The folder of the runs and of the JSON file.")] = Path("runs"),
    photo: Annotated[list[Path] | None, typer.Option(help="Photo to draw on. May be repeated.")] = None,
    page: Annotated[Path, typer.Option(help="The page whose table is replaced.")] = Path(
        "docs/experiments/landmark-studies.md"
    ),
    out: Annotated[Path, typer.Option(help="The PNG file of the plot.")] = Path(
        "docs/images/pairwise-loss.png"
    ),
    epochs: int = 12,
    seed: int = 0,
) -> None:
    """Train the net with either loss; write the table, the plot, and all figures as JSON."""
    configs = {loss: small_net.config(f"pairwise-loss-{loss}", loss, epochs, seed) for loss in LOSSES}
    for config in configs.values():
        small_net.check_recorded(config, runs)  # before the first of them is trained
    nets = {loss: small_net.trained(config, data, runs) for loss, config in configs.items()}
    faces = landmark_crops.load(data / "test.tfrecord")
    figures = {loss: measure(net, faces) for loss, net in nets.items()}
    text = markdown.dated(report(figures, len(faces)))
    print(text)
    errors = {loss: {name: asdict(e) for name, e in parts.items()} for loss, parts in figures.items()}
    facts = {"epochs": epochs, "seed": seed, "faces": len(faces), "error": errors}
    (runs / "pairwise-loss.json").write_text(json.dumps(facts, indent=2) + "\n")
    plot(nets, list(photo or PHOTOS), load_detector(models), out)
    markdown.fill(page, "pairwise-loss", text)


if __name__ == "__main__":
    with one_line_errors():
        typer.run(main)
