"""The faces of an image that are compared with others: all, the largest one, or the one in a given box."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from app.errors import NoFace, SeveralFaces
from app.gallery.records import NewFace
from app.pipeline.detector import Detector
from app.pipeline.faces import Faces
from app.pipeline.orientation import Orientation
from app.runtime.timing import Timing
from app.service.boxes import ONE_FIELD
from app.service.responses import Size
from app.vision.pyramid import ImagePyramid

_MIN_SCORE_IN_BOX = 0.5
"""Score of O-Net from which a given box contains a face: the net finds a face more likely than none. Of 468
detected faces of WIDER FACE and LFW 0.9% have less, and of 24,175 random boxes without a face 0.4% have more.
"""


@dataclass(frozen=True)
class Wanted:
    """Which faces of an image are compared, and by which model.

    Attributes:
        model: name of the embedder.
        which: `all`; `largest`, for the face in the given box or else the largest one; or `only`, for the
            latter if it is the only one.
        quality: whether to add the qualities, if a loaded embedder measures them.
    """

    model: str
    which: Literal["all", "largest", "only"] = "all"
    quality: bool = False


@dataclass(frozen=True)
class ComparedFaces:
    """The faces of an image with their embeddings.

    Attributes:
        size: size of the image.
        faces: the faces.
        picture: returns the decoded image.
    """

    size: Size
    faces: Faces
    picture: Callable[[], ImagePyramid]


def one_face(faces: Faces, size: Size, *, only: bool) -> Faces:
    """Return the largest face of an image.

    Args:
        faces: all faces of the image.
        size: size of the image.
        only: whether there must be only one.

    Raises:
        NoFace: there is none.
        SeveralFaces: there are several, and `only` is set.
    """
    if len(faces) == 0:
        raise NoFace(
            "No face was found in the image. Send an image with a visible, upright face, or set the "
            "parameter orientation to auto.",
            "image",
        )
    if only and len(faces) > 1:
        raise SeveralFaces(
            f"The image contains {len(faces)} faces, but the request demands one. Crop the image to the "
            "person, or send faces=largest.",
            "image",
        )
    return faces.largest(size.width, size.height)


def new_face(face: Faces, source: bytes, expires: datetime | None) -> NewFace:
    """Return a face as the gallery stores it.

    Args:
        face: the face, with its embedding.
        source: SHA-256 of the encoded image.
        expires: when it is deleted; None for never.
    """
    assert face.embeddings is not None
    x1, y1, x2, y2 = map(float, face.boxes[0])
    return NewFace(
        vector=face.embeddings[0],
        box=(x1, y1, x2, y2),
        score=float(face.scores[0]),
        quality=None if face.qualities is None else float(face.qualities[0]),
        source=source,
        expires=expires,
    )


def check_box(
    detector: Detector, picture: ImagePyramid, face: Faces, orientation: Orientation, timing: Timing
) -> None:
    """Check that a detector recognises a face in the box of a request, in the given orientation.

    Args:
        detector: the detector.
        picture: the image.
        face: the face that it located in the box.
        orientation: `upright`, or `auto` if the face may be turned.
        timing: receives the time of the stage.

    Raises:
        NoFace: it does not.
    """
    upright = orientation == "upright"
    is_right = not upright or detector.right_way_round(picture, face, timing)[0]
    if not is_right or face.scores[0] < _MIN_SCORE_IN_BOX:
        box = [round(float(value), 3) for value in face.boxes[0]]
        raise NoFace(
            f"No{' upright' if upright else ''} face was found in the box {box}. Send the box of a face "
            "as /detect returns it, in pixels of the image after EXIF rotation"
            f"{', or set the parameter orientation to auto' if upright else ''}.",
            ONE_FIELD,
        )
