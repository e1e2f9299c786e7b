"""Write the submission of a net with 15 points to Kaggle's Facial Keypoints Detection.

    python -m training.kaggle_submission --data DATA --model cnn15 --out benchmarks/kaggle15/cnn15.csv

The file answers the rows of `IdLookupTable.csv` in their order. A net with the template `kaggle15` gets the
image itself. Any other net gets the face as the service aligns it, by the detector's five points. Images in
which the detector finds no face are counted and listed.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jaxtyping import Float32
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.detector import Detector
from app.pipeline.landmarks import Landmarker, landmarker_of
from app.vision import align
from app.vision.pyramid import ImagePyramid
from training.data.datasets import kaggle
from training.data.prepare import cropped_faces
from training.data.storage.whole_file import whole_file
from training.evaluation import landmarks as landmark_evaluation
from training.evaluation.user_errors import UserError, one_line_errors
from training.reports.landmark_pictures import draw

PICTURES = 24
"""Test images that `--pictures` draws."""


@dataclass(frozen=True)
class Predictions:
    """The points in each image, and the ids of the images in which the detector found no face."""

    points: Float32[ndarray, "n 15 2"]
    undetected: tuple[int, ...]


def predict(images: kaggle.KaggleImages, landmarker: Landmarker, detector: Detector) -> Predictions:
    """Return the points of a net in every image, in pixels and inside the image."""
    predicted, undetected = [], []
    for row in tqdm(range(len(images)), unit="image", disable=None, leave=False):
        image = images.rgb(row)
        if landmarker.spec.template == "kaggle15":
            five = align.template("kaggle15", kaggle.SIDE)[None]  # the crop is then the image itself
        else:
            five, detected = cropped_faces.find_five(detector, image)
            if not detected:
                undetected.append(int(images.ids[row]))
        predicted.append(landmarker(ImagePyramid(image), five)[0])
    points = np.stack(predicted) if predicted else images.points
    return Predictions(np.clip(points, 0, kaggle.SIDE - 1).astype(np.float32), tuple(undetected))


def write(
    path: Path, images: kaggle.KaggleImages, points: Float32[ndarray, "n 15 2"], lookup: kaggle.LookupTable
) -> None:
    """Write the submission, with the columns RowId and Location, completely or not at all.

    Args:
        path: the file.
        images: the images of the test set.
        points: the points in each image, in pixels.
        lookup: the rows of the submission.

    Raises:
        UserError: the lookup table asks for images that the test set does not have.
    """
    index = _rows_of_images(images, lookup)
    path.parent.mkdir(parents=True, exist_ok=True)
    flat = points.reshape(len(points), -1)
    with whole_file(path) as part, part.open("w", encoding="ascii", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("RowId", "Location"))
        for row, image, coordinate in zip(lookup.rows, lookup.images, lookup.coordinates, strict=True):
            writer.writerow((row, f"{flat[index[image], coordinate]:.4f}"))


def _rows_of_images(images: kaggle.KaggleImages, lookup: kaggle.LookupTable) -> dict[int, int]:
    """Return the row of each image by its id.

    Raises:
        UserError: the lookup table asks for images that the test set does not have.
    """
    index = {int(image): row for row, image in enumerate(images.ids)}
    if missing := sorted(set(lookup.images) - set(index)):
        first = lookup.rows[lookup.images.index(missing[0])]
        raise UserError(
            f"IdLookupTable asks for images that test does not have, such as {missing[:5]} (RowId {first}). "
            "Use both files of the same download."
        )
    return index


def main(
    data: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="The folder that holds kaggle15/.")
    ],
    out: Annotated[Path, typer.Option(help="The CSV file to write.")],
    model: Annotated[str | None, typer.Option(help="Net of the store with Kaggle's 15 points.")] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of a training run, instead of a model.")] = None,
    models: Annotated[Path, typer.Option(help="The model store.")] = Path("models"),
    pictures: Annotated[
        Path | None, typer.Option(help="A PNG file with the points on the first test images.")
    ] = None,
) -> None:
    """Write the submission of a net for Kaggle's test images."""
    landmarker = landmarker_of(landmark_evaluation.open_session(models, model, run))
    _check_scheme(landmarker)
    folder = data / "kaggle15"
    images, lookup = kaggle.read_images(folder, "test"), kaggle.read_lookup_table(folder)
    _rows_of_images(images, lookup)  # before the nets run, which takes minutes
    predictions = predict(images, landmarker, landmark_evaluation.load_detector(models))
    write(out, images, predictions.points, lookup)
    if pictures is not None:
        shown = range(min(PICTURES, len(images)))
        draw(np.stack([images.rgb(row) for row in shown]), predictions.points[shown], pictures)
    print(f"{out}: {len(lookup.rows)} coordinates in {len(images)} images by {landmarker.spec.model}")
    if landmarker.spec.template == "kaggle15":
        print("  The net read the images as they are.")
    else:
        undetected = list(predictions.undetected)
        print(f"  The detector found no face in {len(undetected)} images: {undetected}")


def _check_scheme(landmarker: Landmarker) -> None:
    if landmarker.scheme != "kaggle15":
        raise UserError(
            f"{landmarker.spec.model} predicts points of the scheme {landmarker.scheme}. Choose a net of the "
            "scheme kaggle15."
        )


if __name__ == "__main__":
    with one_line_errors():
        typer.run(main)
