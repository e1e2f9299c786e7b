"""Agreement of Facet's `mtcnn` with the package mtcnn 1.0.0 on the validation images of WIDER FACE.

    .venv-bench/bin/python -m benchmarks.reference_boxes --data DATA

Both have the same weights and settings: smallest face 20 pixels, pyramid factor 0.709, final threshold 0.8.
Two boxes match if their IoU is 0.5 or more. Prints the mean IoU of matched boxes and the average precision
(AP) of both.
"""

import warnings
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions
from app.runtime.model_store import load
from app.runtime.timing import Timing
from app.vision.boxes import iou
from app.vision.image import decode
from app.vision.pyramid import ImagePyramid
from benchmarks.others import MtcnnTf
from training.data.datasets import wider
from training.evaluation.detection import Detections, above_threshold, match_all
from training.metrics.detection import average_precision

THRESHOLD = 0.8
LOW = 0.02


def main(data: Annotated[Path, typer.Option(help="Folder that contains `wider/`.")]) -> None:
    """Print the mean IoU of matched boxes, and the average precision of both."""
    warnings.simplefilter("ignore")
    detector = Analyzer(load(Path("models"), "cpu")).detector("mtcnn")
    reference = MtcnnTf()
    pictures = list(wider.read(data / "wider", "val"))
    ours: list[Detections] = []
    theirs: list[Detections] = []
    theirs_low: list[Detections] = []
    for picture in tqdm(pictures, unit="image", disable=None):
        image = decode(picture.path.read_bytes(), 50_000_000, "image")
        faces = detector.detect(ImagePyramid(image), DetectOptions(threshold=LOW), Timing())
        ours.append(Detections(faces.boxes, faces.scores, faces.points))
        theirs.append(reference.found(image))
        theirs_low.append(reference.found(image, threshold_onet=LOW))
    sure = above_threshold(ours, THRESHOLD)
    overlaps = [best(b.boxes, a.boxes) for a, b in zip(sure, theirs, strict=True)]
    flat = np.concatenate(overlaps)
    matched = flat[flat >= 0.5]
    with_matches = sum(bool((o >= 0.5).any()) for o in overlaps)
    print(f"images with matched boxes: {with_matches} of {len(pictures)}")
    print(f"boxes of mtcnn 1.0.0: {len(flat)}, matched: {len(matched)}, mean IoU: {matched.mean():.4f}")
    for name, found in (
        (f"facet mtcnn, threshold {THRESHOLD}", sure),
        (f"mtcnn 1.0.0, threshold {THRESHOLD}", theirs),
        (f"facet mtcnn, threshold {LOW}", ours),
        (f"mtcnn 1.0.0, threshold {LOW}", theirs_low),
    ):
        precision = average_precision(match_all(pictures, found))
        print(f"AP at IoU 0.5, faces of 20 pixels or more: {precision:.4f}  {name}")


def best(boxes: ndarray, others: ndarray) -> ndarray:
    """Return the greatest IoU of each box (n, 4) with any of the others (m, 4)."""
    if len(others) == 0:
        return np.zeros(len(boxes), np.float32)
    best: ndarray = iou(boxes.astype(np.float32), others.astype(np.float32)).max(axis=1)
    return best


if __name__ == "__main__":
    typer.run(main)
