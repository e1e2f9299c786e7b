"""Detection of one face: the largest of an image, searched from large to small."""

from collections.abc import Iterator
from dataclasses import replace

from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.faces import SIMILAR_AREA, Faces
from app.pipeline.orientation import is_upright
from app.runtime.timing import Timing
from app.vision import boxes
from app.vision.pyramid import ImagePyramid

FIRST_SHARE, SEARCH_RATIO = 0.25, 3.0
"""The search for the largest face begins with this share of the shorter side as the smallest face. Each
further search takes faces that are smaller by the ratio."""

MAX_FACES = 1000
"""Maximum number of faces of a search. In a picture of more faces, those with the highest scores are
compared, so that no picture needs unlimited memory.
"""

SURELY_FOUND = 1.3
"""A face of this many times the smallest face's side is found by a search, if the nets find it at all."""


def detect_largest(
    detector: Detector, picture: ImagePyramid, options: DetectOptions, timing: Timing
) -> Faces:
    """Return the face of an image that `Faces.largest` chooses; empty if there is none.

    Large faces are searched first, at small scales. The search goes on with smaller faces until none of those
    that are not searched yet could be chosen instead.

    Args:
        detector: the detector.
        picture: the image.
        options: the options of the detection; `max_faces` has no effect.
        timing: receives the times of the stages.
    """
    options = replace(options, max_faces=MAX_FACES)
    for min_face in _first_searches(picture, options.min_face_size):
        coarse = replace(options, min_face_size=min_face, orientation="upright")
        faces = detector.detect(picture, coarse, timing)
        if options.orientation == "auto" and not is_upright(faces).any():
            continue  # the turned copies are searched if no smaller face is upright, either
        face = faces.largest(picture.width, picture.height)
        if len(face) and boxes.area(face.boxes)[0] * SIMILAR_AREA >= (SURELY_FOUND * min_face) ** 2:
            return face
    return detector.detect(picture, options, timing).largest(picture.width, picture.height)


def _first_searches(picture: ImagePyramid, min_face: float) -> Iterator[float]:
    """Yield the smallest faces of the searches before the one for all faces, from large to small.

    Yields:
        A side in pixels, at least `SEARCH_RATIO` times that of the smallest face of all.
    """
    side = FIRST_SHARE * min(picture.width, picture.height)
    while side >= SEARCH_RATIO * min_face:
        yield side
        side /= SEARCH_RATIO
