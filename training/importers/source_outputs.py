"""Write what the source implementations return for the probe images, into `models/source`.

    .venv/bin/python -m training.importers.source_outputs yunet sface
    .venv-bench/bin/python -m training.importers.source_outputs mtcnn-pnet mtcnn-rnet mtcnn-onet dlib

Each net needs its source's library: OpenCV is in both environments, mtcnn and dlib are in `.venv-bench`.
Run it when a net, its source or the probe images change; `make models` and the tests only read the files.

The probe images are faces of the tests' photographs, an image of coarse squares and one of noise: faces give
scores between 0 and 1, noise excites every filter. They are stored and not made anew for each comparison,
because versions of decoders and of resizing differ in single pixels.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy import ndarray

from training.data.images import read_image
from training.importers import parity
from training.importers.packages import CACHE
from training.importers.parity import Images, Outputs

PHOTOS = Path("tests/photos")
FACES = {
    "astronaut.png": (160, 50, 130),
    "obama.jpg": (320, 80, 340),
    "biden.jpg": (370, 170, 400),
}
"""A square around the face of a photograph: left, top, side in pixels."""

SCENES = {"astronaut.png": (40, 0, 400, 300), "obama.jpg": (0, 0, 910, 682)}
"""A part of a photograph, four to three: left, top, width, height in pixels."""


def crops(side: int) -> Images:
    """Return squares of the given side: three faces, coarse squares, noise."""
    faces = [_cut(name, (x, y, size, size), (side, side)) for name, (x, y, size) in FACES.items()]
    return np.stack([*faces, *_made(side, side)])


def scenes(width: int, height: int) -> Images:
    """Return images of the given size: two parts of photographs, coarse squares, noise."""
    parts = [_cut(name, part, (width, height)) for name, part in SCENES.items()]
    return np.stack([*parts, *_made(width, height)])


def _cut(name: str, part: tuple[int, int, int, int], size: tuple[int, int]) -> ndarray:
    x, y, width, height = part
    pixels = read_image(PHOTOS / name)[y : y + height, x : x + width]
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _made(width: int, height: int) -> list[ndarray]:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (-(-height // 16), -(-width // 16), 3), np.uint8)
    noise = rng.integers(0, 256, (height, width, 3), np.uint8)
    return [coarse.repeat(16, axis=0).repeat(16, axis=1)[:height, :width], noise]


NETS: dict[str, tuple[Callable[[], Images], str]] = {
    # Faces of about 12 pixels, which is what P-Net sees.
    "mtcnn-pnet": (partial(scenes, 64, 48), "mtcnn"),
    "mtcnn-rnet": (partial(crops, 24), "mtcnn"),
    "mtcnn-onet": (partial(crops, 48), "mtcnn"),
    "yunet": (partial(scenes, 128, 96), "yunet"),
    "sface": (partial(crops, 112), "sface"),
    "dlib": (partial(crops, 150), "dlib_resnet"),
}
"""The probe images and the importer of each net."""


def library(name: str, images: Images, cache: Path) -> Outputs:
    """Return what the source's own library returns for RGB images. Raises ImportError where it is missing."""
    # Imported for the net that is asked for: the environments hold different libraries.
    importer = import_module(f"training.importers.{NETS[name][1]}")
    if name.startswith("mtcnn-"):
        return importer.library(name.removeprefix("mtcnn-"), images)
    return importer.library(cache, images)


def main(
    names: Annotated[list[str], typer.Argument(help=f"nets: {', '.join(NETS)}")],
    cache: Annotated[Path, typer.Option(help="folder of published files")] = CACHE,
) -> None:
    """Write the probe images and the source's outputs of the named nets."""
    if unknown := sorted(set(names) - set(NETS)):
        raise typer.BadParameter(f"no net named {', '.join(unknown)}; known: {', '.join(NETS)}")
    for name in names:
        images = NETS[name][0]()
        path = parity.write(name, images, library(name, images, cache))
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    typer.run(main)
