"""Turned faces: how many are answered the wrong way round, and how many `orientation=auto` finds.

    .venv/bin/python -m benchmarks.orientation --photos PATH/TO/lfw

Each photo is searched as it is, and turned by 90, 180 and 270 degrees. The faces of the photo as it is, found
with `orientation=upright`, are the reference.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import typer
from jaxtyping import Float32
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.faces import Faces
from app.pipeline.orientation import Orientation
from app.runtime.model_store import load
from app.runtime.timing import Timing
from app.vision import turns
from app.vision.image import decode
from app.vision.pyramid import AnyImage, ImagePyramid
from app.vision.turns import Rotation
from benchmarks import report

DETECTORS = ("cascade", "mtcnn", "mtcnn_thorough")
WRONG_ANGLE = 45.0
"""Angle in degrees between the points of a face and those of the reference beyond which the face is wrong."""

RIGHT_DISTANCE = 0.1
"""Mean distance of right points from the reference, divided by the distance of the eyes."""


@dataclass
class Counts:
    """The counts of one detector, rotation and mode.

    Attributes:
        photos: number of photos.
        faces: number of faces in the answers.
        wrong: number of faces of the reference that are answered the wrong way round.
        elsewhere: number of faces that are at no face of the reference.
        right: number of photos whose main face is answered with the right points and the right rotation.
    """

    photos: int = 0
    faces: int = 0
    wrong: int = 0
    elsewhere: int = 0
    right: int = 0

    def add(self, found: Faces, reference: Faces, main: Faces, rotation: int) -> None:
        """Add the faces of one photo, whose points are in the pixels of the reference."""
        self.photos += 1
        self.faces += len(found)
        size = np.linalg.norm(
            reference.points[:, 3:].mean(axis=1) - reference.points[:, :2].mean(axis=1), axis=1
        )
        for points in found.points:
            distance = np.linalg.norm(reference.points.mean(axis=1) - points.mean(axis=0), axis=1) / size
            same = reference.points[distance.argmin()]
            angles = turns.angle_to_upright(np.stack([points, same]))
            self.elsewhere += bool(distance.min() > 1)
            self.wrong += bool(distance.min() <= 1 and turns.angle_between(*angles[:, None]) > WRONG_ANGLE)
        rotations = np.zeros(len(found), int) if found.rotations is None else found.rotations
        near = _distances(found.points, main.points) <= RIGHT_DISTANCE
        self.right += bool((near & (rotations == rotation)).any())


def main(
    photos: Annotated[Path, typer.Option(help="Folder with photos of upright faces.")],
    every: Annotated[int, typer.Option(help="Use every n-th photo.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for the table and the figures.")] = report.RESULTS,
) -> None:
    """Count wrong and right answers on turned photos, and measure the time of the check."""
    files = sorted(path for path in photos.rglob("*") if path.suffix.lower() in {".jpg", ".png"})[::every]
    images = [decode(path.read_bytes(), 50_000_000, "image") for path in files]
    rows: list[dict[str, Any]] = []
    check_ms: dict[str, float] = {}
    for name in DETECTORS:
        (model,) = load(Path("models"), "cpu", names=frozenset({name}))
        counts, check_ms[name] = _measure(Detector(model.sessions), images)
        rows += [
            {"detector": name, "turned by": rotation, "orientation": mode, **asdict(count)}
            for (rotation, mode), count in counts.items()
        ]
    times = ", ".join(f"`{name}` {ms:.2f}" for name, ms in check_ms.items())
    text = (
        f"{report.table(list(rows[0]), [list(row.values()) for row in rows])}\n\nMilliseconds of the check "
        f"(stage `orientation`) per face of the upright photos: {times}."
    )
    report.write("orientation", text, {"check_ms_per_face": check_ms, "counts": rows}, out)


def _measure(
    detector: Detector, images: list[AnyImage]
) -> tuple[dict[tuple[Rotation, Orientation], Counts], float]:
    """Return the counts by rotation and mode, and the milliseconds of the check per upright face."""
    modes: tuple[Orientation, ...] = get_args(Orientation)
    counts = {(r, mode): Counts() for r in get_args(Rotation) for mode in modes}
    ms, faces = 0.0, 0
    for image in tqdm(images, desc=detector.name, unit="image", disable=None):
        timing = Timing()
        reference = detector.detect(ImagePyramid(image), DetectOptions(), timing)
        if len(reference) == 0:
            continue
        ms, faces = ms + timing.ms["orientation"], faces + len(reference)
        main_face = reference.largest(image.shape[1], image.shape[0])
        for (rotation, mode), count in counts.items():
            back: Rotation = {0: 0, 90: 270, 180: 180, 270: 90}[rotation]  # type: ignore[assignment]
            picture = ImagePyramid(turns.turn(image, rotation))
            found = detector.detect(picture, DetectOptions(orientation=mode), Timing())
            points = turns.points_before_turn(found.points, rotation, (image.shape[1], image.shape[0]))
            moved = Faces(found.boxes, found.scores, points, rotations=found.rotations)
            count.add(moved, reference, main_face, back)
    return counts, ms / max(1, faces)


def _distances(points: Float32[ndarray, "n 5 2"], other: Float32[ndarray, "1 5 2"]) -> ndarray:
    """Return the mean distance of the points from those of another face, over the distance of its eyes."""
    eyes = np.linalg.norm(other[0, 0] - other[0, 1])
    return np.asarray(np.linalg.norm(points - other, axis=2).mean(axis=1) / eyes)


if __name__ == "__main__":
    typer.run(main)
