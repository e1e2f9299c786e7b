"""What `min_face_size` costs: time of detection and recall by height, on WIDER FACE's validation images.

    python -m training.studies.min_face_size --data DATA

The values of `min_face_size` take turns on each image. The time of an image is the minimum of several rounds.
Figures are those at the default threshold of the detector.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated

import numpy as np
import typer
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions, Detector
from app.runtime.model_store import LoadOptions, load
from app.runtime.timing import Timing
from app.vision.pyramid import ImagePyramid
from training.data.datasets import wider
from training.data.datasets.images import read_image
from training.evaluation.detection import MIN_HEIGHT, Detections, match_all
from training.evaluation.user_errors import one_line_errors
from training.metrics.detection import false_positives_per_image, recall
from training.reports import markdown

PAGE = Path("docs/guides/small-faces.md")
MARK = "min-face-size"
SIZES = (12, 20, 24, 32, 40, 80)
DEFAULT = 20
BANDS = ((10, 20), (20, 24), (24, 32), (32, 40), (40, 80), (80, np.inf))
"""Heights of labelled faces in pixels: from the first number to less than the second."""


@dataclass(frozen=True)
class SizeRun:
    """The detections and times with one smallest face.

    Attributes:
        detections: the detections in each image.
        milliseconds: the least time of each image.
    """

    detections: list[Detections]
    milliseconds: ndarray


def main(
    data: Annotated[Path, typer.Option(help="The folder that holds the datasets.")],
    models: Annotated[Path, typer.Option(help="The model store.")] = Path("models"),
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of images.")] = 10_000,
    rounds: Annotated[int, typer.Option(min=1, help="Number of rounds per image.")] = 3,
    page: Annotated[Path, typer.Option(help="The page whose table is replaced.")] = PAGE,
) -> None:
    """Measure the default detector, print the table, and write it into the page."""
    with one_line_errors():
        images = list(wider.read(data / "wider", "val"))[:limit]
        analyzer = Analyzer(load(models, "cpu", options=LoadOptions(precision="auto")))
        text = report(images, measure(analyzer.detector(None), images, rounds))
        print(text)
        markdown.fill(page, MARK, markdown.dated(text))


def measure(detector: Detector, images: Sequence[wider.LabelledImage], rounds: int) -> dict[int, SizeRun]:
    """Return the detections and times of a detector by the smallest face.

    Args:
        detector: the detector.
        images: the labelled images.
        rounds: number of rounds per image.
    """
    times = {size: np.full((rounds, len(images)), np.inf) for size in SIZES}
    detections: dict[int, list[Detections]] = {size: [] for size in SIZES}
    for place, image in enumerate(tqdm(images, desc="detection", unit="image", disable=None)):
        pixels = read_image(image.path)
        for turn in range(rounds):
            for size in SIZES:
                begun = perf_counter()
                faces = detector.detect(ImagePyramid(pixels), DetectOptions(min_face_size=size), Timing())
                times[size][turn, place] = (perf_counter() - begun) * 1e3
                if turn == 0:
                    detections[size].append(Detections(faces.boxes, faces.scores, faces.points))
    return {size: SizeRun(detections[size], times[size].min(axis=0)) for size in SIZES}


def report(images: list[wider.LabelledImage], runs: Mapping[int, SizeRun]) -> str:
    """Return a Markdown table with a row per smallest face: time, recall by height, false positives."""
    heights = np.concatenate([(image.boxes[:, 3] - image.boxes[:, 1])[~image.invalid] for image in images])
    counts = [int(((heights >= low) & (heights < high)).sum()) for low, high in BANDS]
    labels = [
        f"{low} px or more ({count})" if high == np.inf else f"{low} to {high} px ({count})"
        for (low, high), count in zip(BANDS, counts, strict=True)
    ]
    base = runs[DEFAULT].milliseconds
    rows = []
    for size, run in runs.items():
        by_height = [recall(match_all(images, run.detections, low, high)) for low, high in BANDS]
        false_positives = false_positives_per_image(match_all(images, run.detections))
        rows.append(
            [
                f"{size}",
                f"{np.median(run.milliseconds):.1f}",
                f"{np.median(run.milliseconds / base):.2f}",
                *(f"{share:.1%}" for share in by_height),
                f"{false_positives:.3f}",
            ]
        )
    head = ["`min_face_size`", "ms", f"time relative to {DEFAULT}", *labels, "false positives per image"]
    whole = recall(match_all(images, runs[DEFAULT].detections))
    return (
        f"{markdown.table(head, rows)}\n\n{len(images)} validation images of WIDER FACE; the number of "
        "labelled faces is in brackets. "
        f"With {DEFAULT}, {whole:.1%} of the faces of {MIN_HEIGHT:g} px or more are found."
    )


if __name__ == "__main__":
    typer.run(main)
