"""What the parts of an operation cost, by which admission control tells large images from small ones.

The values are milliseconds of the default models on two cores (benchmarks/stages.py). They need only the
right order of magnitude, because jobs are treated as small or as large and not otherwise ranked.
"""

from app.runtime.timing import Timing

MS_PER_MEGAPIXEL = 25.0
"""Decoding an image and searching it at the default size."""

MS_PER_LANDMARKS = 7.0
"""Landmarks of one face."""

MS_PER_EMBEDDING = 16.0
"""Embedding of one face."""

LEVELS = 3.0
"""Pixels of all scales of a search, per pixel of the scale at which the smallest face fills one cell."""


def expect_pixels(timing: Timing, pixels: float) -> None:
    """Record that an image, or its enlarged scales, have this number of pixels; see `Timing.expect`.

    Args:
        timing: the timing of the image.
        pixels: number of pixels.
    """
    timing.expect(pixels / 1e6 * MS_PER_MEGAPIXEL)
