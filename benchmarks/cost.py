"""How the time of a request grows with pixels, faces, clients, images of a batch, and the smallest face.

    make bench-cost

Writes the tables and plots of docs/experiments/cost.md. The service runs on this machine with its default
settings, but without a gallery and a time limit. A time is the minimum of several rounds, in which all values
of a quantity take turns. The images are made of the photos of the project.
"""

import asyncio
import itertools
import json
import statistics
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from tqdm import tqdm

from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions
from app.runtime.model_store import LoadOptions, load
from app.runtime.timing import Timing
from app.vision.pyramid import ImagePyramid
from benchmarks import report
from benchmarks.clients import closed
from benchmarks.curves import Curve, fit, plot, table
from benchmarks.pictures import Ask, heads, jpeg, montage, photographs
from benchmarks.rounds import Client, Times, column, fastest, timed
from benchmarks.served import service
from training.evaluation.user_errors import one_line_errors
from training.reports.markdown import fill

PAGE, IMAGES = Path("docs/experiments/cost.md"), Path("docs/images")
PORTRAIT = 2
"""A photo with one face, by its index among the photos of the project."""

MEGAPIXELS = (0.1, 0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 11, 12, 16, 20, 24)
FACES = (0, 1, 2, 5, 10, 20, 40, 60, 80, 100)
CLIENTS = (1, 2, 4, 8, 16, 32)
BATCH = (1, 2, 4, 8, 16)
ROWS = (1, 2, 4, 8, 16, 32, 64)
MIN_FACE_SIZES = (12, 20, 24, 32, 40, 64, 80)
LINEAR_BELOW = 3
"""Megapixels up to which the default search reads the image at its full scale."""


def pixels(client: Client, rounds: int) -> Curve:
    """Return the time of `/detect` by the pixels of the image, with one face in it."""
    images = [jpeg(*size(mp), PORTRAIT) for mp in MEGAPIXELS]
    paths = ("/detect", "/detect?min_face_size=20")
    times = fastest([client.one(path, image) for image in images for path in paths], rounds)
    default, full = times[::2], times[1::2]
    series = {
        "min_face_size=20": column(full, "whole"),
        "default": column(default, "whole"),
        "default, proposal net": column(default, "pnet"),
        "default, decoding": column(default, "decode"),
    }
    low = [mp for mp in MEGAPIXELS if mp <= LINEAR_BELOW]
    small, whole = fit(low, series["default"][: len(low)]), fit(MEGAPIXELS, series["min_face_size=20"])
    text = (
        f"Up to {LINEAR_BELOW} megapixels the default takes {small.constant:.1f} ms and "
        f"{small.slope:.1f} ms for each megapixel. "
        f"With `min_face_size=20`, all sizes take {whole.constant:.1f} ms and "
        f"{whole.slope:.1f} ms for each megapixel."
    )
    return Curve("pixels", "megapixels", MEGAPIXELS, {"ms": series}, text=text)


def faces(client: Client, rounds: int) -> Curve:
    """Return the times of `/detect` and `/embed` by the faces in an image of one size."""
    boxes = [
        [tuple(face["box"].values()) for face in client.answer("/detect", encoded)["faces"]]
        for encoded in (jpeg(photo.shape[1], photo.shape[0], i) for i, photo in enumerate(photographs()))
    ]
    crops = heads(boxes)
    images = [montage(crops, count) for count in FACES]
    detect = fastest([client.one("/detect", image) for image in images], rounds)
    embed = fastest([client.one("/embed", image) for image in images], rounds)
    panels = {
        "ms of /detect": {
            "whole request": column(detect, "whole"),
            "proposal net": column(detect, "pnet"),
            "R-Net and O-Net": [one["rnet"] + one["onet"] for one in detect],
        },
        "ms of /embed": {"whole request": column(embed, "whole"), "embedding": column(embed, "embed")},
    }
    found = [int(one["faces"]) for one in detect]
    by_face = [fit(found, column(times, "whole")) for times in (detect, embed)]
    text = (
        f"A face adds {by_face[0].slope:.2f} ms to `/detect` and {by_face[1].slope:.1f} ms to `/embed`. "
        f"The lines begin at {by_face[0].constant:.0f} and {by_face[1].constant:.0f} ms."
    )
    return Curve("faces", "faces in the image", FACES, panels, {"faces found": found}, text=text)


def clients(url: str, rounds: int, seconds: float) -> Curve:
    """Return the throughput and response time of `/detect` by the number of clients."""
    asks = [Ask("/detect", (jpeg(1024, 768, photo),)) for photo in range(len(photographs()))]
    runs: dict[int, list[Any]] = {number: [] for number in CLIENTS}
    for _, number in tqdm(list(itertools.product(range(rounds), CLIENTS)), unit="run", disable=None):
        runs[number].append(asyncio.run(closed(url, itertools.cycle(asks), number, seconds=seconds)))
    rates = [max(run.rate for run in each) for each in runs.values()]
    times = {
        f"p{p}": [statistics.median(run.milliseconds(p)[0] for run in each) for each in runs.values()]
        for p in (50, 99)
    }
    text = f"The highest throughput is {max(rates) / rates[0]:.2f} times that of one client."
    return Curve("clients", "clients", CLIENTS, {"requests/s": {"/detect": rates}, "ms": times}, text=text)


def batches(client: Client, rounds: int) -> Curve:
    """Return the time per image by the number of images in a batch."""
    image = jpeg(640, 480, PORTRAIT)
    series = {}
    for path in ("/detect/batch", "/embed/batch"):
        series[path] = column(fastest([client.batch(path, [image] * n) for n in BATCH], rounds), "whole")
    shares = [values[-1] / values[0] for values in series.values()]
    text = (
        f"An image in a batch of {BATCH[-1]} takes {shares[0]:.2f} of the time of a batch of one for "
        f"`/detect/batch`, and {shares[1]:.2f} for `/embed/batch`."
    )
    return Curve("batch", "images in the batch", BATCH, {"ms per image": series}, text=text)


def rows(rounds: int) -> Curve:
    """Return the time per face by the number of faces that a net gets at once, without the service."""
    options = LoadOptions(precision="auto")
    analyzer = Analyzer(load(Path("models"), "cpu", options=options))
    detector, embedder = analyzer.detector(None), analyzer.embedder(None)
    picture = ImagePyramid(np.ascontiguousarray(photographs()[PORTRAIT][:, :, ::-1]))
    face = detector.detect(picture, DetectOptions(max_faces=1), Timing())

    def onet(count: int) -> Callable[[], Times]:
        boxes = np.repeat(face.boxes, count, axis=0)
        return timed(lambda: detector.run_onet(picture, boxes), count)

    def embed(count: int) -> Callable[[], Times]:
        points = analyzer.align(picture, np.repeat(face.points, count, axis=0), embedder, Timing())
        return timed(lambda: embedder(picture, points), count)

    name = f"embedder {embedder.spec.model}"
    panels = {
        "O-Net, ms per face": {"O-Net": column(fastest([onet(n) for n in ROWS], rounds), "whole")},
        f"{name}, ms per face": {name: column(fastest([embed(n) for n in ROWS], rounds), "whole")},
    }
    shares = [min(values) / values[0] for by_title in panels.values() for values in by_title.values()]
    text = (
        f"With the best number of faces in a call, a face takes {shares[0]:.2f} of its time alone for O-Net, "
        f"and {shares[1]:.2f} for the embedder."
    )
    return Curve("rows", "faces in a call", ROWS, panels, text=text)


def smallest_face(client: Client, rounds: int) -> Curve:
    """Return the time of `/detect` by `min_face_size`."""
    image = jpeg(1024, 768, PORTRAIT)
    asks = [client.one(f"/detect?min_face_size={m}", image) for m in MIN_FACE_SIZES]
    times = fastest(asks, rounds)
    series = {"whole request": column(times, "whole"), "proposal net": column(times, "pnet")}
    whole, net = (dict(zip(MIN_FACE_SIZES, values, strict=True)) for values in series.values())
    text = (
        f"40 in place of 20 takes {net[40] / net[20]:.2f} of the time of the proposal net, and "
        f"{whole[40] / whole[20]:.2f} of that of the request."
    )
    return Curve("min-face-size", "min_face_size, pixels", MIN_FACE_SIZES, {"ms": series}, text=text)


def size(megapixels: float) -> tuple[int, int]:
    """Return width and height of an image of 4:3 with so many megapixels."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    return round(height * 4 / 3), height


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Number of rounds of each curve.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.1, help="Seconds per run with several clients.")] = 3,
    page: Annotated[Path, typer.Option(help="The page whose tables are replaced.")] = PAGE,
    images: Annotated[Path, typer.Option(help="Folder for the plots.")] = IMAGES,
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = report.RESULTS,
) -> None:
    """Measure all curves, and write the plots, the figures and the tables of the page."""
    with one_line_errors():
        out.mkdir(parents=True, exist_ok=True)  # the measurement takes minutes
    in_use = report.cores_in_use()
    with one_line_errors():
        measured = [rows(rounds)]
        with service(gallery="off", request_timeout_s=0) as served:
            client = Client(served.url)
            measured += [
                pixels(client, rounds),
                faces(client, rounds),
                clients(served.url, 2, seconds),
                batches(client, rounds),
                smallest_face(client, rounds),
            ]
        note = report.note_with_load(in_use)
        write(measured, note, page, images)
        figures = {curve.name: asdict(curve) for curve in measured}
        (out / "cost.json").write_text(json.dumps({"note": note, **figures}, indent=2) + "\n")


def write(curves: list[Curve], note: str, page: Path, images: Path) -> None:
    """Write the plots, and the tables with the note into the page."""
    for curve in curves:
        plot(curve, images / f"cost-{curve.name}.png")
        text = f"{table(curve)}\n\n{curve.text}"
        fill(page, curve.name, text)
        print(f"{text}\n")
    fill(page, "machine", note)


if __name__ == "__main__":
    typer.run(main)
