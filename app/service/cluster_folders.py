"""Writes clusters of faces to folders: links to the images of each cluster, and contact sheets."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy import ndarray

from app.pipeline.faces import Faces
from app.service.cluster_images import ClusterResponse
from app.service.drawings import mark
from app.service.problems import Problem
from app.vision import align, boxes, image, turns
from app.vision.pyramid import ImagePyramid

UNCLUSTERED = "unclustered"
"""Name of the folder and of the sheet of the faces that are alike to no other."""

_SIDE, _GAP, _COLUMNS, _ROWS = 112, 4, 10, 12
_MARGIN = 1.4
"""Side of a thumbnail over the longer side of the box."""


class ClusterFolders:
    """A folder with a folder of links for each cluster, named by its number.

    Args:
        folder: the folder, which is new or empty.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: set[Path] = set()

    def write(self, paths: Iterable[str], response: ClusterResponse) -> None:
        """Write a symbolic link to each image into the folder of each of its clusters.

        Args:
            paths: the file of each image of the response.
            response: the clusters.

        Raises:
            OSError: a link cannot be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        for path, faces in _numbers(paths, response):
            for name in dict.fromkeys(_name(number) for number in faces):
                target = self._free(self._folder / name / os.path.basename(path))
                target.parent.mkdir(exist_ok=True)
                target.symlink_to(os.path.abspath(path))

    def _free(self, wanted: Path) -> Path:
        """Return the path, with a number if another image of the cluster has this name."""
        target, number = wanted, 2
        while target in self._names:
            target, number = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}"), number + 1
        self._names.add(target)
        return target


class Thumbnails:
    """Thumbnails of faces, as JPEG in memory (about 4 KB each), for contact sheets.

    Args:
        folder: the folder of the sheets, which is new or empty.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._of_image: dict[str, list[bytes]] = {}

    def keep(self, path: str, picture: Callable[[], ImagePyramid], faces: Faces) -> None:
        """Keep the thumbnails of the faces of an image, turned upright.

        Args:
            path: the file of the image.
            picture: returns the image.
            faces: the faces.
        """
        crops = align.warp(picture(), align.of_boxes(boxes.square(faces.boxes, _MARGIN), _SIDE), _SIDE)
        rotations = [0] * len(faces) if faces.rotations is None else faces.rotations.tolist()
        self._of_image[path] = [
            image.encode(np.ascontiguousarray(turns.turn(crop, rotation)), "jpeg")
            for crop, rotation in zip(crops, rotations, strict=True)
        ]

    def write_sheets(self, paths: Iterable[str], response: ClusterResponse) -> None:
        """Write a sheet with the faces of each cluster, as JPEG; several sheets if there are more than 120.

        Args:
            paths: the file of each image of the response.
            response: the clusters.

        Raises:
            OSError: a sheet cannot be written.
        """
        clusters: dict[str, list[bytes]] = {}
        for path, faces in _numbers(paths, response):
            for number, thumbnail in zip(faces, self._of_image[path], strict=True):
                clusters.setdefault(_name(number), []).append(thumbnail)
        self._folder.mkdir(parents=True, exist_ok=True)
        most = _COLUMNS * _ROWS
        for name, thumbnails in clusters.items():
            for page, start in enumerate(range(0, len(thumbnails), most), 1):
                sheet = image.encode(_sheet(thumbnails[start : start + most]), "jpeg")
                suffix = f"-{page}" if page > 1 else ""
                (self._folder / f"{name}{suffix}.jpg").write_bytes(mark(sheet))


def _sheet(thumbnails: list[bytes]) -> ndarray:
    """Return thumbnails side by side, on white."""
    step = _SIDE + _GAP
    columns = min(_COLUMNS, len(thumbnails))
    rows = -(-len(thumbnails) // columns)
    sheet = np.full((rows * step + _GAP, columns * step + _GAP, 3), 255, np.uint8)
    for place, thumbnail in enumerate(thumbnails):
        top, left = (_GAP + step * n for n in divmod(place, columns))
        sheet[top : top + _SIDE, left : left + _SIDE] = image.decode(thumbnail, _SIDE * _SIDE, "thumbnail")
    return sheet


def _numbers(paths: Iterable[str], response: ClusterResponse) -> Iterator[tuple[str, list[int | None]]]:
    """Yield the file and the clusters of the faces of each image that could be read."""
    for path, result in zip(paths, response.results, strict=True):
        if not isinstance(result, Problem):
            yield path, [face.cluster for face in result.faces]


def _name(number: int | None) -> str:
    return UNCLUSTERED if number is None else f"cluster-{number:04d}"
