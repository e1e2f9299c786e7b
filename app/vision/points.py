"""Point schemes: names, orders, mirror permutations, regions, and conversions between schemes.

Points are `x, y` in pixels of the decoded image unless a name says otherwise. Pixel centres are at integers,
as in the `.pts` files of 300-W and in OpenCV, so that the left edge of the image is x = -0.5. Left and right
in names are the subject's own: in a frontal face, `left_eye` is on the right side of the image. Arrays of
the five points of the detector are in the order of `FIVE`.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.vision.mesh_tables import MIRRORED_PAIRS

Scheme = Literal["ibug68", "kaggle15", "mesh468"]

FIVE = ("right_eye", "left_eye", "nose", "mouth_right", "mouth_left")
"""The order of the five points: that of MTCNN's O-Net and of ArcFace's 112-pixel template."""

FIVE_MIRROR = np.array([1, 0, 2, 4, 3])
"""Index permutation: point i of a mirrored face is point FIVE_MIRROR[i] of the original, mirrored."""

KAGGLE15 = (
    "left_eye_center",
    "right_eye_center",
    "left_eye_inner_corner",
    "left_eye_outer_corner",
    "right_eye_inner_corner",
    "right_eye_outer_corner",
    "left_eyebrow_inner_end",
    "left_eyebrow_outer_end",
    "right_eyebrow_inner_end",
    "right_eyebrow_outer_end",
    "nose_tip",
    "mouth_left_corner",
    "mouth_right_corner",
    "mouth_center_top_lip",
    "mouth_center_bottom_lip",
)
"""The points of Kaggle's Facial Keypoints Detection, in the order of its columns."""

COUNTS: dict[Scheme, int] = {"ibug68": 68, "kaggle15": 15, "mesh468": 468}
"""The number of points of each scheme."""

_IBUG68_MIRROR = (
    *range(16, -1, -1),  # jaw
    *range(26, 16, -1),  # brows
    *range(27, 31),  # nose bridge
    *range(35, 30, -1),  # nose base
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),  # eyes
    *range(54, 47, -1),  # outer lip, upper
    *range(59, 54, -1),  # outer lip, lower
    *range(64, 59, -1),  # inner lip, upper
    *range(67, 64, -1),  # inner lip, lower
)
_MESH468_MIRROR = list(range(468))
for _one, _other in MIRRORED_PAIRS:
    _MESH468_MIRROR[_one], _MESH468_MIRROR[_other] = _other, _one
_KAGGLE15_MIRROR = (1, 0, 4, 5, 2, 3, 8, 9, 6, 7, 10, 12, 11, 13, 14)

MIRROR: dict[Scheme, ndarray] = {
    "ibug68": np.array(_IBUG68_MIRROR),
    "kaggle15": np.array(_KAGGLE15_MIRROR),
    "mesh468": np.array(_MESH468_MIRROR),
}
"""Index permutations by scheme: point i of a mirrored face is point `MIRROR[scheme][i]` of the original."""

REGIONS: dict[Scheme, dict[str, tuple[int, ...]]] = {
    "ibug68": {
        "jaw": tuple(range(17)),
        "brows": tuple(range(17, 27)),
        "nose": tuple(range(27, 36)),
        "eyes": tuple(range(36, 48)),
        "mouth": tuple(range(48, 68)),
    },
    "kaggle15": {
        "brows": tuple(range(6, 10)),
        "nose": (10,),
        "eyes": tuple(range(6)),
        "mouth": tuple(range(11, 15)),
    },
    "mesh468": {"all": tuple(range(468))},
}
"""The indices of the points of each region of the face. Every point belongs to exactly one region."""

IBUG68_EDGES = (
    *((i, i + 1) for i in range(16)),
    *((i, i + 1) for i in range(17, 21)),
    *((i, i + 1) for i in range(22, 26)),
    *((i, i + 1) for i in range(27, 30)),
    *((i, i + 1) for i in range(31, 35)),
    *((i, i + 1) for i in range(36, 41)),
    (41, 36),
    *((i, i + 1) for i in range(42, 47)),
    (47, 42),
    *((i, i + 1) for i in range(48, 59)),
    (59, 48),
    *((i, i + 1) for i in range(60, 67)),
    (67, 60),
)
"""Pairs of neighbouring points of `ibug68`, for drawing."""

RIGHT_EYE_OUTER, LEFT_EYE_OUTER = 36, 45
"""Indices of the outer eye corners in `ibug68`."""

_FIFTEEN_OF_IBUG68 = [42, 45, 39, 36, 22, 26, 21, 17, 30, 54, 48, 51, 57]
"""Indices in `ibug68` of the third to the last point of `kaggle15`."""


def mirror(points: Float32[ndarray, "n k 2"], width: float, scheme: Scheme) -> Float32[ndarray, "n k 2"]:
    """Return the points of faces in an image that is mirrored left to right.

    Args:
        points: points in the original image, in pixels, in the order of the scheme.
        width: width of the image in pixels.
        scheme: the scheme.

    Returns:
        The points in the mirrored image, in the order of the scheme.
    """
    flipped = points[:, MIRROR[scheme]].copy()
    flipped[..., 0] = (width - 1) - flipped[..., 0]
    return flipped


def five_of_ibug68(points: Float32[ndarray, "n 68 2"]) -> Float32[ndarray, "n 5 2"]:
    """Return the five points, in the order of `FIVE`.

    An eye centre is the mean of the six points of the eye.
    """
    right_eye = points[:, 36:42].mean(axis=1)
    left_eye = points[:, 42:48].mean(axis=1)
    return np.stack([right_eye, left_eye, points[:, 30], points[:, 48], points[:, 54]], axis=1)


def fifteen_of_ibug68(points: Float32[ndarray, "n 68 2"]) -> Float32[ndarray, "n 15 2"]:
    """Return the points of `kaggle15`.

    An eye centre is the mean of the six points of the eye. The lip points are on the outer edges of the lips.
    """
    left_eye = points[:, 42:48].mean(axis=1)
    right_eye = points[:, 36:42].mean(axis=1)
    return np.concatenate([np.stack([left_eye, right_eye], axis=1), points[:, _FIFTEEN_OF_IBUG68]], axis=1)
