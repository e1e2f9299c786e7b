"""`facet bulk` against the command for one machine on the same images, and on simulated nodes.

    .venv-ray/bin/python -m benchmarks.bulk PHOTOS --task detect --images 5000
    .venv-ray/bin/python -m benchmarks.bulk PHOTOS --task embed --images 1000 --nodes 3

The images are links to those in PHOTOS, as many times as are needed. Both commands run as a user starts them.
A run with few images gives the time of the start, so that the rate without it follows from the difference.
"""

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import report
from tests import ray_faults

_FEW = 4
_SUFFIXES = {".jpg", ".jpeg", ".png"}


def main(
    photos: Annotated[Path, typer.Argument(help="Folder with images.")],
    task: Annotated[str, typer.Option(help="Task: detect, landmarks or embed.")] = "detect",
    images: Annotated[int, typer.Option(help="Number of images.")] = 5000,
    turns: Annotated[int, typer.Option(help="Number of runs of each command.")] = 1,
    nodes: Annotated[int, typer.Option(help="Also measure 1 to this number of nodes with a CPU each.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the table and the figures.")] = report.RESULTS,
) -> None:
    """Measure images per second."""
    files = sorted(path for path in photos.rglob("*") if path.suffix.lower() in _SUFFIXES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        many = _links(folder / "many", files, images)
        few = _links(folder / "few", files, _FEW)
        results = (folder / f"results-{number}" for number in itertools.count())

        def single(album: Path) -> float:
            return _seconds([task, str(album)])

        def bulk(album: Path, address: str = "local") -> float:
            return _seconds(
                ["bulk", str(album), str(next(results)), "--task", task, "--ray-address", address]
            )

        ways = {f"facet {task}": single, "facet bulk": bulk}
        runs = {way: [(run(few), run(many)) for _ in range(turns)] for way, run in ways.items()}
        for count in range(1, nodes + 1):
            with ray_faults.nodes(count) as cluster:
                runs[f"facet bulk, nodes: {count}"] = [
                    (bulk(few, cluster.address), bulk(many, cluster.address)) for _ in range(turns)
                ]
    base = _rates(runs[f"facet {task}"], images)
    rows = []
    for way, found in runs.items():
        start = statistics.median(few for few, _ in found)
        whole, without = _rates(found, images)
        ratios = f"{whole / base[0]:.2f}", f"{without / base[1]:.2f}"
        rows.append((way, f"{start:.1f}", f"{whole:.1f}", ratios[0], f"{without:.1f}", ratios[1]))
    head = (
        f"{images} images, {task}",
        f"s for {_FEW} images",
        "images/s",
        "ratio",
        "images/s without the start",
        "ratio",
    )
    report.write(f"bulk-{task}", report.table(head, rows), {"rows": rows}, out)


def _rates(runs: list[tuple[float, float]], images: int) -> tuple[float, float]:
    """Return images per second, with the start of the command and without it."""
    whole = statistics.median(images / many for _, many in runs)
    without = statistics.median((images - _FEW) / (many - few) for few, many in runs)
    return whole, without


def _links(folder: Path, files: list[Path], count: int) -> Path:
    """Return a new folder with so many links to the files."""
    folder.mkdir()
    for number, file in zip(range(count), itertools.cycle(files)):
        (folder / f"{number:06d}{file.suffix}").symlink_to(file.resolve())
    return folder


def _seconds(arguments: list[str]) -> float:
    """Return how long a command takes, which may fail for some images."""
    environment = {**os.environ, "FACE_DEVICE": "cpu"}
    start = time.monotonic()
    command = [sys.executable, "-m", "app", *arguments]
    done = subprocess.run(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr[-2000:]
    return time.monotonic() - start


if __name__ == "__main__":
    typer.run(main)
