"""Our detector's boxes against those of PyPI mtcnn 1.0.0, on WIDER FACE's validation pictures.

    .venv-bench/bin/python -m benchmarks.reference_boxes --data DATA

Same weights, same settings: smallest face 20, pyramid factor 0.709, final threshold 0.8, and the least
overlap 0.5 for two boxes to be a match. Prints the mean IoU of matched boxes and both average precisions.
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
from training.average_precision import average_precision
from training.data import wider
from training.evaluate_detection import Found, above, match_all

THRESHOLD = 0.8
LOW = 0.02


def main(data: Annotated[Path, typer.Option(help="the folder that holds `wider/`")]) -> None:
    """Mean IoU with the reference, and the average precision of both."""
    warnings.simplefilter("ignore")
    detector = Analyzer(load(Path("models"), "cpu")).detector("mtcnn")
    reference = MtcnnTf()
    pictures = list(wider.read(data / "wider", "val"))
    ours: list[Found] = []
    theirs: list[Found] = []
    theirs_low: list[Found] = []
    for picture in tqdm(pictures, unit="picture", disable=None):
        image = decode(picture.path.read_bytes(), 50_000_000, "image")
        faces = detector.detect(ImagePyramid(image), DetectOptions(threshold=LOW), Timing())
        ours.append(Found(faces.boxes, faces.scores, faces.points))
        theirs.append(reference.found(image))
        theirs_low.append(reference.found(image, threshold_onet=LOW))
    sure = above(ours, THRESHOLD)
    overlaps = [best(b.boxes, a.boxes) for a, b in zip(sure, theirs, strict=True)]
    flat = np.concatenate(overlaps)
    matched = flat[flat >= 0.5]
    with_matches = sum(bool((o >= 0.5).any()) for o in overlaps)
    print(f"pictures with matched boxes {with_matches} of {len(pictures)}")
    print(f"their boxes {len(flat)}, matched by ours {len(matched)}, mean IoU of these {matched.mean():.4f}")
    for name, found in (
        (f"ours, threshold {THRESHOLD}", sure),
        (f"mtcnn 1.0.0, threshold {THRESHOLD}", theirs),
        (f"ours, threshold {LOW}", ours),
        (f"mtcnn 1.0.0, threshold {LOW}", theirs_low),
    ):
        precision = average_precision(match_all(pictures, found))
        print(f"AP at IoU 0.5, faces of 20 px or more: {precision:.4f}  {name}")


def best(boxes: ndarray, others: ndarray) -> ndarray:
    """For each box its greatest IoU with any of the others."""
    if len(others) == 0:
        return np.zeros(len(boxes), np.float32)
    best: ndarray = iou(boxes.astype(np.float32), others.astype(np.float32)).max(axis=1)
    return best


if __name__ == "__main__":
    typer.run(main)
