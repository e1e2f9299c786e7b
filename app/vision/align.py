"""Alignment: similarity transforms from five points to a template, crops, and inverse transforms.

A transform is a 2x3 matrix that maps a point of the image, in pixels, to a point of the crop, in pixels.
"""

from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from app.vision.pyramid import REMAP_LIMIT, ImagePyramid

Template = Literal["arcface", "dlib", "face", "kaggle15", "mesh", "onet"]
"""Names of templates: five points each, in the order of `points.FIVE`, in a unit square."""

_ARCFACE_112 = [
    [38.2946, 51.6963],
    [73.5318, 51.5014],
    [56.0252, 71.7366],
    [41.5493, 92.3655],
    [70.7299, 92.2041],
]

TEMPLATES: dict[Template, ndarray] = {
    # The 112x112 template of ArcFace (Deng et al., 2019) and SFace, which define it in pixels.
    "arcface": ((np.array(_ARCFACE_112) + 0.5) / 112).astype(np.float32),
    # dlib's 150x150 face chips (padding 0.25): the five points of the mean of its 68 points.
    "dlib": np.array(
        [
            [0.316995, 0.31066],
            [0.669841, 0.31066],
            [0.493418, 0.510417],
            [0.336099, 0.686822],
            [0.650736, 0.686822],
        ],
        np.float32,
    ),
    # For landmark nets: the mean of the five detected points over the training faces of 300-W, made
    # symmetric. At this scale 99.8% of these faces are completely inside the crop, including jaw and brows.
    "face": np.array(
        [[0.3695, 0.3034], [0.6305, 0.3034], [0.5, 0.4596], [0.3856, 0.5834], [0.6144, 0.5834]], np.float32
    ),
    # For nets trained on the unaligned 96x96 images of Kaggle: the mean of the labels, made symmetric.
    "kaggle15": np.array(
        [[0.3219, 0.4289], [0.6781, 0.4289], [0.5, 0.6316], [0.3436, 0.8101], [0.6564, 0.8101]], np.float32
    ),
    # For the first pass of the face mesh: the median of the five detected points over the training faces of
    # 300-W, in squares of 1.4 times the longer side of the mesh, made symmetric.
    "mesh": np.array(
        [[0.357, 0.367], [0.643, 0.367], [0.5, 0.536], [0.3727, 0.6641], [0.6273, 0.6641]], np.float32
    ),
    # The mean of the points of O-Net in its crop, made symmetric and enlarged by 10% about the centre. This
    # gives the highest scores on upright faces (docs/decisions/0015-fused-embedder.md).
    "onet": np.array(
        [[0.3100, 0.3778], [0.6900, 0.3778], [0.5, 0.6188], [0.3312, 0.7882], [0.6688, 0.7882]], np.float32
    ),
}


def template(name: Template, size: int) -> Float32[ndarray, "5 2"]:
    """Return the five points of a template, in pixels of a crop of `size` x `size` pixels."""
    return TEMPLATES[name] * size - 0.5


def umeyama(source: Float32[ndarray, "n k 2"], target: Float32[ndarray, "k 2"]) -> Float32[ndarray, "n 2 3"]:
    """Return the least-squares similarity transform from each set of source points to the target points.

    Follows Umeyama (1991). In two dimensions, rotation and scale together are one complex number, so that no
    singular value decomposition is needed and no reflection occurs. If all source points of a set coincide,
    the scale is 0.

    Args:
        source: n sets of k points.
        target: k points.
    """
    src = source.astype(np.float64)
    dst = target.astype(np.float64)
    src_mean = src.mean(axis=1, keepdims=True)
    dst_mean = dst.mean(axis=0)
    a = src - src_mean
    b = dst - dst_mean
    power = (a**2).sum(axis=(1, 2))
    cos = (a * b).sum(axis=(1, 2))
    sin = (a[..., 0] * b[:, 1] - a[..., 1] * b[:, 0]).sum(axis=1)
    scale = np.divide(1.0, power, out=np.zeros_like(power), where=power > 0)
    cos, sin = cos * scale, sin * scale
    linear = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], axis=1)
    shift = dst_mean - (linear @ src_mean.transpose(0, 2, 1))[..., 0]
    return np.concatenate([linear, shift[..., None]], axis=2).astype(np.float32)


def of_boxes(boxes: Float32[ndarray, "n 4"], size: int) -> Float32[ndarray, "n 2 3"]:
    """Return the transforms that stretch each box to a crop; zeros for an empty box.

    Args:
        boxes: half-open boxes in pixels.
        size: side of the crop in pixels.
    """
    extent = boxes[:, 2:] - boxes[:, :2]
    scale = np.divide(size, extent, out=np.zeros_like(extent), where=extent > 0)
    shift = (0.5 - boxes[:, :2]) * scale - 0.5
    out = np.zeros((len(boxes), 2, 3), np.float32)
    out[:, 0, 0], out[:, 1, 1] = scale[:, 0], scale[:, 1]
    out[:, :, 2] = shift
    return out


def apply(
    transforms: Float32[ndarray, "n 2 3"], points: Float32[ndarray, "n k 2"]
) -> Float32[ndarray, "n k 2"]:
    """Return the transformed points: one transform per set of k points."""
    return points @ transforms[:, :, :2].transpose(0, 2, 1) + transforms[:, None, :, 2]


def invert(transforms: Float32[ndarray, "n 2 3"]) -> Float32[ndarray, "n 2 3"]:
    """Return the inverse transforms, from the crops to the image; zeros for a singular transform."""
    m = transforms.astype(np.float64)
    det = m[:, 0, 0] * m[:, 1, 1] - m[:, 0, 1] * m[:, 1, 0]
    safe = np.divide(1.0, det, out=np.zeros_like(det), where=det != 0)[:, None]
    row0 = np.stack([m[:, 1, 1], -m[:, 0, 1]], -1) * safe
    row1 = np.stack([-m[:, 1, 0], m[:, 0, 0]], -1) * safe
    linear = np.stack([row0, row1], axis=1)
    shift = -(linear @ m[:, :, 2:])
    return np.concatenate([linear, shift], axis=2).astype(np.float32)


def warp(
    pyramid: ImagePyramid, transforms: Float32[ndarray, "n 2 3"], size: int
) -> UInt8[ndarray, "n size size 3"]:
    """Return crops of the image, RGB, black outside of the image.

    The interpolation is bilinear. Each crop is read from the octave that is at most twice as large as the
    crop needs, which avoids aliasing for faces of any size.

    Args:
        pyramid: the image.
        transforms: the transforms from the image to each crop.
        size: side of the crops in pixels.
    """
    crops = np.empty((len(transforms), size, size, 3), np.uint8)
    if len(transforms) == 0:
        return crops
    back = invert(transforms)
    shrink = np.sqrt(np.abs(back[:, 0, 0] * back[:, 1, 1] - back[:, 0, 1] * back[:, 1, 0]))
    octave = pyramid.octave_for(shrink)
    for level in sorted(set(octave.tolist())):  # np.unique imports numpy.ma, which takes 0.1 s
        chosen = np.flatnonzero(octave == level)
        maps = _grids(pyramid.transforms_to(int(level), back[chosen]), size)
        crops[chosen] = _remap(pyramid[int(level)], maps, size)
    return crops


_NO_MAP = np.empty(0, np.float32)


def _grids(back: ndarray, size: int) -> ndarray:
    """Return the position in the octave of each pixel of each crop: (n, size, size, 2)."""
    along = np.arange(size, dtype=np.float32)
    by_column = back[:, :, :1] * along + back[:, :, 2:]
    by_row = back[:, :, 1:2] * along
    maps = np.empty((len(back), size, size, 2), np.float32)
    for axis in (0, 1):
        np.add(by_column[:, axis, None, :], by_row[:, axis, :, None], out=maps[..., axis])
    return maps


def _remap(image: ndarray, maps: ndarray, size: int) -> ndarray:
    step = REMAP_LIMIT // size  # crops per call, which are stacked vertically
    parts = [
        cv2.remap(image, part.reshape(-1, size, 2), _NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        for part in (maps[i : i + step] for i in range(0, len(maps), step))
    ]
    return np.concatenate(parts).reshape(-1, size, size, 3)
