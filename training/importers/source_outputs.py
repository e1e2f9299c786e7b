"""Write the outputs of the source implementations for the probe images into `models/source`.

    .venv/bin/python -m training.importers.source_outputs yunet sface
    .venv-bench/bin/python -m training.importers.source_outputs mtcnn-pnet mtcnn-rnet mtcnn-onet dlib

Each net needs the library of its source: both environments have OpenCV, `.venv-bench` has mtcnn and dlib. Run
it after a change of a net, its source or the probe images; `make models` and the tests only read the files.

The probe images are faces from the test photos, an image of coarse squares and one of noise. Faces give
scores between 0 and 1, noise excites all filters. The images are stored, because versions of decoders and of
resizing differ in single pixels.
"""

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy import ndarray

from training.data.datasets.images import read_image
from training.importers import parity
from training.importers.packages import CACHE, SourceError
from training.importers.parity import Images, Outputs

PHOTOS = Path("tests/photos")
FACES = {
    "astronaut.png": (160, 50, 130),
    "obama.jpg": (320, 80, 340),
    "biden.jpg": (370, 170, 400),
}
"""A square around the face of each photo: left, top and side in pixels."""

SCENES = {"astronaut.png": (40, 0, 400, 300), "obama.jpg": (0, 0, 910, 682)}
"""A part of each photo with the aspect ratio 4:3: left, top, width and height in pixels."""


def crops(side: int) -> Images:
    """Return square images (n, side, side, 3): three faces, coarse squares, noise."""
    faces = [_cut(name, (x, y, size, size), (side, side)) for name, (x, y, size) in FACES.items()]
    return np.stack([*faces, *_synthetic(side, side)])


def scenes(width: int, height: int) -> Images:
    """Return images (n, height, width, 3): two parts of photos, coarse squares, noise."""
    parts = [_cut(name, part, (width, height)) for name, part in SCENES.items()]
    return np.stack([*parts, *_synthetic(width, height)])


def _cut(name: str, part: tuple[int, int, int, int], size: tuple[int, int]) -> ndarray:
    x, y, width, height = part
    pixels = read_image(PHOTOS / name)[y : y + height, x : x + width]
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _synthetic(width: int, height: int) -> list[ndarray]:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (-(-height // 16), -(-width // 16), 3), np.uint8)
    noise = rng.integers(0, 256, (height, width, 3), np.uint8)
    return [coarse.repeat(16, axis=0).repeat(16, axis=1)[:height, :width], noise]


NETS: dict[str, tuple[Callable[[], Images], str]] = {
    # Faces of about 12 pixels, the size of P-Net's window.
    "mtcnn-pnet": (partial(scenes, 64, 48), "mtcnn"),
    "mtcnn-rnet": (partial(crops, 24), "mtcnn"),
    "mtcnn-onet": (partial(crops, 48), "mtcnn"),
    "yunet": (partial(scenes, 128, 96), "yunet"),
    "mesh": (partial(crops, 192), "face_mesh"),
    "sface": (partial(crops, 112), "sface"),
    "dlib": (partial(crops, 150), "dlib_resnet"),
}
"""The probe images and the importer of each net."""


def library(name: str, images: Images, cache: Path) -> Outputs:
    """Return the outputs of the source's library.

    Args:
        name: a net of `NETS`.
        images: RGB images.
        cache: folder of published files.

    Raises:
        ImportError: the library is not installed.
        SourceError: the published file cannot be fetched.
    """
    # Imported here, because no environment has the libraries of all importers.
    importer = import_module(f"training.importers.{NETS[name][1]}")
    if name.startswith("mtcnn-"):
        return importer.library(name.removeprefix("mtcnn-"), images)
    return importer.library(cache, images)


def main(
    names: Annotated[list[str], typer.Argument(help=f"Nets: {', '.join(NETS)}.")],
    cache: Annotated[Path, typer.Option(help="Folder of published files.")] = CACHE,
) -> None:
    """Write the probe images and the outputs of the source for the named nets."""
    if unknown := sorted(set(names) - set(NETS)):
        sys.exit(f"There is no net {' or '.join(unknown)}. The nets are: {', '.join(NETS)}.")
    for name in names:
        images = NETS[name][0]()
        try:
            outputs = library(name, images, cache)
        except ImportError as error:
            sys.exit(f"The library of {name} is not installed here ({error}). .venv-bench has all libraries.")
        except SourceError as error:
            sys.exit(str(error))
        path = parity.write(name, images, outputs)
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    typer.run(main)
