"""Time of each stage by image size on the CPU; `make gpu-record` has it for a GPU.

    .venv/bin/python -m benchmarks.stages

The images are a photo of the project at several sizes. Each time is the median of several rounds after a
warm-up.
"""

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from tqdm import tqdm

from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions
from app.runtime.model_store import LoadOptions, load
from app.runtime.timing import Timing
from app.vision.image import decode
from app.vision.pyramid import ImagePyramid
from benchmarks import report

SIZES = {
    "VGA": (640, 480),
    "1024x768": (1024, 768),
    "720p": (1280, 720),
    "1080p": (1920, 1080),
    "12 MP": (4000, 3000),
}
PHOTO = Path("tests/photos/astronaut.png")


def milliseconds(device: str, rounds: int, threads: int = 0) -> tuple[str, dict[str, dict[str, float]]]:
    """Measure the time of each stage, by image size.

    Args:
        device: `cpu`, `cuda`, `cuda:N` or `tensorrt`.
        rounds: number of rounds per size; the median counts.
        threads: number of CPU threads; 0 uses all cores.

    Returns:
        The execution provider, and the milliseconds by image size and stage.
    """
    analyzer = Analyzer(load(Path("models"), device, options=LoadOptions(threads=threads, precision="auto")))
    detector = analyzer.detector(None)
    landmarker, embedder = analyzer.landmarker(None), analyzer.embedder(None)
    portrait = decode(PHOTO.read_bytes(), 50_000_000, "image")
    table: dict[str, dict[str, float]] = {}
    for name, (width, height) in tqdm(SIZES.items(), unit="size", disable=None):
        image = np.zeros((height, width, 3), np.uint8)
        side = min(width, height)
        image[:side, :side] = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
        _, data = cv2.imencode(".jpg", image[:, :, ::-1])
        file = data.tobytes()
        times: list[dict[str, float]] = []
        for _ in range(rounds + 2):
            timing = Timing()
            with timing.stage("decode"):
                picture = ImagePyramid(decode(file, 50_000_000, "image"))
            faces = detector.detect(picture, DetectOptions(), timing)
            with timing.stage("landmarks"):
                landmarker(picture, faces.points)
            with timing.stage("embed"):
                embedder(picture, analyzer.align(picture, faces.points, embedder, Timing()))
            times.append(timing.ms)
        table[name] = {stage: float(np.median([t[stage] for t in times[2:]])) for stage in times[0]}
    return next(iter(analyzer.models[0].sessions.values())).provider, table


def main(
    threads: Annotated[int, typer.Option(help="Number of CPU threads; 0 uses all cores.")] = 0,
    rounds: Annotated[int, typer.Option(help="Number of rounds per size.")] = 15,
    out: Annotated[Path, typer.Option(help="Folder for the table and the figures.")] = report.RESULTS,
) -> None:
    """Measure the time in milliseconds of each stage on the CPU, by image size."""
    provider, table = milliseconds("cpu", rounds, threads)
    stages = list(next(iter(table.values())))
    rows = [[name, *row.values(), sum(row.values())] for name, row in table.items()]
    text = f"{report.table(['image', *stages, 'total'], rows)}\n\n{provider}; one face."
    report.write("stages-cpu", text, {"milliseconds": table}, out)


if __name__ == "__main__":
    typer.run(main)
