"""Orientation of faces: drops those whose points lie the wrong way round, and searches the turned image."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

from app.pipeline.faces import Faces, concatenate
from app.runtime.session import ModelSession
from app.runtime.timing import Timing
from app.vision import align, boxes, turns
from app.vision.pyramid import ImagePyramid
from app.vision.scores import logit
from app.vision.spec import ONetSpec, RNetSpec
from app.vision.turns import Rotation

Orientation = Literal["upright", "auto"]
"""`upright` searches the image as it is, `auto` also searches it turned if it contains no upright face."""

STAGE = "orientation"
"""Name of the stage in the timing."""

MAX_UPRIGHT_ANGLE = 45.0
"""Angle in degrees up to which a face is upright: beyond it, another quarter turn is nearer."""

CERTAIN_LOGIT = 6.0
"""Mean of the logits of R-Net and O-Net above which a face is not checked: turned faces hardly reach it."""

DOUBT = 2.0
"""Lead of R-Net's logit without a turn over the best other turn, below which O-Net reads the face too."""

MIN_LOGIT = 3.75
"""Minimum logit of a wrong face at its better turn."""

MIN_GAIN, MAX_GAIN, GAIN_PIXELS = 2.0, 4.0, 96.0
"""Minimum gain of the logit by the turn of a wrong face: `GAIN_PIXELS` / side of the face, within limits."""

MAX_TILT = 35.0
"""Maximum angle in degrees of the points at the better turn: there the face is upright."""

MIN_DEVIATION, MAX_DEVIATION = 25.0, 35.0
"""Minimum angle in degrees between the points of a wrong face and those at its better turn.

Faces with a score below the default threshold of the detector need `MAX_DEVIATION` and `MAX_GAIN`.
"""

SIDEWAYS_ANGLE = 70.0
"""Angle in degrees at the better turn above which no deviation is needed: the points are inaccurate there."""

DUPLICATE_OVERLAP = 0.5
"""Intersection over the smaller area above which faces of two turns are the same face."""

_ALL_TURNS: tuple[Rotation, ...] = (0, *turns.TURNS)


class OrientationCheck:
    """Finds faces whose points lie the wrong way round.

    R-Net and O-Net are trained on upright faces. On a turned face they often answer with a high score, but
    with the points of an upright face. So both read the crop of the face at all four quarter turns. A face is
    wrong if at another turn the mean of the logits is clearly higher, and the points have another direction
    or the face lies on its side, where the points are inaccurate.
    Few faces need this: those whose logits in the detection are not high, and among them O-Net reads only
    those for which R-Net, the faster net, leaves a doubt. The limits were chosen on LFW and WIDER FACE
    (docs/decisions/0028-orientation.md).

    Args:
        rnet: the session of R-Net.
        onet: the session of O-Net.
        specs: the specs of both.
    """

    def __init__(self, rnet: ModelSession, onet: ModelSession, specs: tuple[RNetSpec, ONetSpec]) -> None:
        self._rnet, self._onet = rnet, onet
        self._rnet_spec, self._onet_spec = specs

    def right_way_round(
        self, picture: ImagePyramid, faces: Faces, logits: Float32[ndarray, " n"]
    ) -> Bool[ndarray, " n"]:
        """Return for each face whether its points lie the right way round.

        Args:
            picture: the image.
            faces: the faces, with five points each. Their boxes are not clipped to the image.
            logits: the mean of the logits of R-Net and O-Net in the detection; 0 if there was none.
        """
        right: ndarray = np.ones(len(faces), bool)
        uncertain = np.flatnonzero(logits < CERTAIN_LOGIT)
        if len(uncertain):
            read = _read_turned(self._rnet, self._rnet_spec, picture, faces.boxes[uncertain])
            rnet = logit(read["score"]).reshape(4, -1)
            doubtful = np.flatnonzero(rnet[1:].max(axis=0) > rnet[0] - DOUBT)
            if len(doubtful):
                index = uncertain[doubtful]
                right[index] = ~self._wrong(picture, faces.take(index), rnet[:, doubtful])
        return right

    def _wrong(
        self, picture: ImagePyramid, faces: Faces, rnet: Float32[ndarray, "4 n"]
    ) -> Bool[ndarray, " n"]:
        out = _read_turned(self._onet, self._onet_spec, picture, faces.boxes)
        logits = (rnet + logit(out["score"]).reshape(4, -1)) / 2
        tilt = turns.angle_to_upright(out["points"].reshape(4, -1, 5, 2))
        direction = tilt + np.array(_ALL_TURNS, np.float32)[:, None]
        deviation = turns.angle_between(direction, turns.angle_to_upright(faces.points))
        sideways = turns.angle_between(direction, np.zeros_like(direction)) > SIDEWAYS_ANGLE
        side = (faces.boxes[:, 2:] - faces.boxes[:, :2]).max(axis=1)
        certain = faces.scores > self._onet_spec.threshold
        gain = np.where(certain, np.clip(GAIN_PIXELS / np.maximum(side, 1), MIN_GAIN, MAX_GAIN), MAX_GAIN)
        wrong = (
            (logits - logits[0] > gain)
            & (logits > MIN_LOGIT)
            & (np.abs(tilt) < MAX_TILT)
            & ((deviation > np.where(certain, MIN_DEVIATION, MAX_DEVIATION)) | (certain & sideways))
        )
        return np.asarray(wrong[1:].any(axis=0))


def is_upright(faces: Faces) -> Bool[ndarray, " n"]:
    """Return for each face whether its points are turned by at most `MAX_UPRIGHT_ANGLE`."""
    return np.abs(turns.angle_to_upright(faces.points)) <= MAX_UPRIGHT_ANGLE


def search_turned(
    picture: ImagePyramid, upright: Faces, search: Callable[[ImagePyramid], Faces], timing: Timing
) -> Faces:
    """Return the faces of an image and of its turned copies, by descending score.

    Args:
        picture: the image.
        upright: the faces of the image as it is.
        search: returns the faces of an image.
        timing: receives the time of turning.
    """
    parts = [replace(upright, rotations=np.zeros(len(upright), np.int64))]
    for rotation in turns.TURNS:
        with timing.stage(STAGE):
            turned = turned_picture(picture, rotation)
        parts.append(before_turn(search(turned), rotation, picture))
    faces = concatenate(parts)
    return faces.take(boxes.nms(faces.boxes, faces.scores, DUPLICATE_OVERLAP, "iom"))


def locate_turned(
    picture: ImagePyramid,
    faces: Faces,
    wrong: Bool[ndarray, " n"],
    locate: Callable[[ImagePyramid, ndarray, Timing], Faces],
    timing: Timing,
) -> Faces:
    """Return the faces in given boxes, the wrong ones as they are read at the turn with the highest score.

    Args:
        picture: the image.
        faces: the faces as they are read without a turn.
        wrong: whether a face is not upright.
        locate: returns the faces of an image in given boxes (n, 4).
        timing: receives the times of turning and of `locate`.
    """
    index = np.flatnonzero(wrong)
    if len(index) == 0:
        return faces
    scores, points = faces.scores.copy(), faces.points.copy()
    rotations = np.zeros(len(faces), np.int64)
    for rotation in turns.TURNS:
        with timing.stage(STAGE):
            turned = turned_picture(picture, rotation)
        given = turns.boxes_after_turn(faces.boxes[index], rotation, (picture.width, picture.height))
        found = before_turn(locate(turned, given, timing), rotation, picture)
        higher = found.scores > scores[index]
        better = index[higher]
        scores[better], points[better] = found.scores[higher], found.points[higher]
        rotations[better] = rotation
    return Faces(faces.boxes, scores, points, rotations=rotations)


def turned_picture(picture: ImagePyramid, rotation: Rotation) -> ImagePyramid:
    """Return the image turned clockwise."""
    return ImagePyramid(turns.turn(picture[0], rotation))


def before_turn(faces: Faces, rotation: Rotation, picture: ImagePyramid) -> Faces:
    """Return the faces of a turned image with their positions in the image, and with their rotation."""
    size = picture.width, picture.height
    return Faces(
        turns.boxes_before_turn(faces.boxes, rotation, size),
        faces.scores,
        turns.points_before_turn(faces.points, rotation, size),
        rotations=np.full(len(faces), rotation, np.int64),
    )


def _read_turned(
    net: ModelSession, spec: RNetSpec | ONetSpec, picture: ImagePyramid, given: Float32[ndarray, "n 4"]
) -> dict[str, ndarray]:
    """Return the outputs of a net for the crops of boxes at all turns, first all at 0 degrees."""
    squares = boxes.square(given, spec.crop)
    crops = align.warp(picture, align.of_boxes(squares, spec.size), spec.size)
    return dict(net.run(np.concatenate([turns.turn(crops, rotation) for rotation in _ALL_TURNS])))
