"""A grid of images with points drawn on them."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32
from matplotlib.figure import Figure
from numpy import ndarray

COLOUR = "#ffd166"


def draw(images: ndarray, points: Float32[ndarray, "n k 2"], path: Path, columns: int = 6) -> None:
    """Draw images and their points as a PNG file.

    Args:
        images: RGB images (n, h, w, 3), 0..255.
        points: points in pixels of each image; NaN for a point that is not drawn.
        path: the file.
        columns: images per row.
    """
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(2 * columns, 2 * rows), layout="constrained")
    for axis, image, face in zip(
        figure.subplots(rows, columns, squeeze=False).flat, images, points, strict=False
    ):
        axis.imshow(np.clip(image, 0, 255).astype(np.uint8))
        axis.scatter(*face.T, s=9, color=COLOUR, edgecolors="#10141c", linewidths=0.4)
        axis.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))
    for axis in figure.axes:
        axis.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
