"""The operations report what an image is going to cost, before the cost arises."""

import numpy as np
import pytest

from app.errors import Overloaded
from app.runtime.timing import Timing
from app.service.costs import LEVELS, MS_PER_EMBEDDING, MS_PER_LANDMARKS, MS_PER_MEGAPIXEL
from app.service.operations import Operations
from app.service.requests import DetectQuery, VerifyQuery
from app.service.upload import Upload
from app.settings import Settings
from app.vision.image import decode
from app.wiring import limits_of
from tests.api.pictures import picture
from tests.fakes import fake_analyzer

PIXELS = 1000 * 800 / 1e6 * MS_PER_MEGAPIXEL


def costs(task: str, boxes: int | None = None, **query: float) -> list[float]:
    """Return what an operation on a picture with two faces reports."""
    operations, reported = Operations(fake_analyzer(), limits_of(Settings())), list[float]()
    timing = Timing(on_expected=reported.append)
    timing.begin_job()
    data = picture(1000, 800)
    try:
        if task == "verify":
            operations.verify((data, data), VerifyQuery())
        else:
            given = None if boxes is None else np.tile(np.array([[0, 0, 50, 50]], np.float32), (boxes, 1))
            getattr(operations, task)(Upload(data, given), DetectQuery(**query))
    finally:
        timing.end_job()
    return reported


@pytest.mark.parametrize(
    ("task", "boxes", "expected"),
    [
        ("detect", None, [PIXELS]),
        ("landmarks", None, [PIXELS, 2 * MS_PER_LANDMARKS]),
        ("embed", None, [PIXELS, 2 * MS_PER_EMBEDDING]),
        ("embed", 40, [PIXELS, 40 * MS_PER_EMBEDDING]),
        ("verify", None, [PIXELS, PIXELS]),
    ],
)
def test_pixels_are_reported_before_they_are_decoded_and_faces_when_they_are_found(
    task: str, boxes: int | None, expected: list[float]
) -> None:
    assert costs(task, boxes) == pytest.approx(expected)


def test_a_search_for_smaller_faces_costs_more() -> None:
    assert costs("detect", min_face_size=6) == pytest.approx([PIXELS, 4 * PIXELS * LEVELS])


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_the_pixels_are_reported_once_and_an_error_of_the_receiver_is_passed_on(format: str) -> None:
    data, reported = picture(64, 32, format=format), list[int]()
    decode(data, 10_000, "image", reported.append)
    assert reported == [64 * 32]

    def refuse(pixels: int) -> None:
        raise Overloaded(f"{pixels} are too many now.")

    with pytest.raises(Overloaded):
        decode(data, 10_000, "image", refuse)
