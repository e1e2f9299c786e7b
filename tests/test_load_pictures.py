"""Images of the load tests: squares around faces, and montages of them."""

import cv2
import numpy as np
import pytest

from benchmarks.pictures import heads, montage, photographs


def decoded(data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def squares(count: int) -> list[np.ndarray]:
    return [np.full((80, 80, 3), 255 - 5 * k, np.uint8) for k in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 40, 100])
def test_a_montage_has_so_many_crops_that_do_not_overlap(count: int) -> None:
    image = decoded(montage(squares(3), count))
    assert image.shape == (960, 1280, 3)
    bright = (image[:, :, 0] > 170).astype(np.uint8)
    labels, _, stats, _ = cv2.connectedComponentsWithStats(bright)
    assert labels - 1 == count
    assert all(abs(area - 6400) < 400 for area in stats[1:, cv2.CC_STAT_AREA])


def test_crops_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="200 crops of 80x80 do not fit into 1280x960"):
        montage(squares(1), 200)


def test_heads_are_centred_on_their_boxes() -> None:
    """The box may reach beyond the photo."""
    boxes: list[list[tuple[float, float, float, float]]] = [[] for _ in photographs()]
    boxes[0] = [(100, 100, 160, 180), (-20, -20, 20, 20)]
    first, corner = heads(boxes, 120)
    photo = photographs()[0]
    np.testing.assert_array_equal(first, photo[80:200, 70:190])  # 120 pixels, 1.5 times the longer side
    assert corner.shape == (120, 120, 3)
    inside = cv2.resize(photo[:30, :30], (60, 60), interpolation=cv2.INTER_LINEAR)
    assert np.abs(corner[60:, 60:].astype(int) - inside).mean() < 8
