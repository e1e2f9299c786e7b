"""A 15-point model's answer to Kaggle's Facial Keypoints Detection: `submission.csv`.

    python -m training.submit --data DATA --model cnn15 --out benchmarks/kaggle15/cnn15.csv

for the pictures of `test` and the rows of `IdLookupTable.csv`, in its order. A net trained on Kaggle's
pictures as they are gets the picture itself; any other gets the face as the service aligns it, by the
detector's five points. Pictures in which the detector finds none are counted, and named.
"""

import csv
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jaxtyping import Float32
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.detector import Detector
from app.pipeline.landmarks import Landmarker
from app.vision import align
from app.vision.pyramid import ImagePyramid
from training import landmark_errors, portraits
from training.data import kaggle


@dataclass(frozen=True)
class Answer:
    """Points in pixels of each picture, and which pictures' faces the detector was asked for and missed."""

    points: Float32[ndarray, "n 15 2"]
    undetected: tuple[int, ...]


def answer(pictures: kaggle.Pictures, landmarker: Landmarker, detector: Detector) -> Answer:
    """The landmarker's points on every picture."""
    found, undetected = [], []
    for row in tqdm(range(len(pictures)), disable=None, leave=False):
        image = pictures.rgb(row)
        if landmarker.spec.template == "kaggle15":
            five = align.template("kaggle15", kaggle.SIDE)[None]  # as in the template: the picture itself
        else:
            five, detected = portraits.five(detector, image)
            if not detected:
                undetected.append(int(pictures.ids[row]))
        found.append(landmarker(ImagePyramid(image), five)[0])
    points = np.stack(found) if found else pictures.points
    return Answer(np.clip(points, 0, kaggle.SIDE - 1).astype(np.float32), tuple(undetected))


def write(
    path: Path, pictures: kaggle.Pictures, points: Float32[ndarray, "n 15 2"], asked: kaggle.Asked
) -> None:
    """Writes the submission: RowId and Location. Raises ValueError where a picture asked for is not there."""
    place = {int(picture): row for row, picture in enumerate(pictures.ids)}
    if unknown := sorted(set(asked.images) - set(place)):
        raise ValueError(f"the table asks for pictures that are not there: {unknown[:5]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    flat = points.reshape(len(points), -1)
    with path.open("w", encoding="ascii", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("RowId", "Location"))
        for row, image, coordinate in zip(asked.rows, asked.images, asked.coordinates, strict=True):
            writer.writerow((row, f"{flat[place[image], coordinate]:.4f}"))


def main(
    data: Annotated[Path, typer.Option(help="the folder that holds `kaggle15/`")],
    out: Annotated[Path, typer.Option(help="where the submission goes")],
    model: Annotated[str | None, typer.Option(help="a 15-point model of the store")] = None,
    run: Annotated[Path | None, typer.Option(help="a training run's folder, in place of a model")] = None,
    models: Annotated[Path, typer.Option(help="the model store")] = Path("models"),
) -> None:
    """Writes a model's submission for Kaggle's test pictures."""
    if (run is None) == (model is None):
        sys.exit("give --model or --run")
    session = landmark_errors.run_session(run) if run else landmark_errors.load_session(models, str(model))
    landmarker = Landmarker(session)
    if landmarker.scheme != "kaggle15":
        sys.exit(f"{landmarker.spec.model} finds the points of {landmarker.scheme}, not of kaggle15")
    folder = data / "kaggle15"
    pictures, asked = kaggle.read_pictures(folder, "test"), kaggle.read_asked(folder)
    answered = answer(pictures, landmarker, landmark_errors.load_detector(models))
    write(out, pictures, answered.points, asked)
    print(f"{out}: {len(asked.rows)} coordinates of {len(pictures)} pictures by {landmarker.spec.model}")
    if landmarker.spec.template == "kaggle15":
        print("  the net saw the pictures as they are")
    else:
        print(f"  {len(answered.undetected)} pictures without a detection: {list(answered.undetected)}")


if __name__ == "__main__":
    typer.run(main)
