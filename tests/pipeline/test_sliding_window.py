"""The sliding-window proposer over a fake P-Net, compared with the net on whole levels."""

import numpy as np
import pytest
from numpy import ndarray

from app.pipeline.proposals import Candidates, Search
from app.pipeline.sliding_window import SlidingWindowProposer
from app.runtime.device import Device, DeviceKind
from app.vision import pyramid
from app.vision.pyramid import ImagePyramid
from app.vision.spec import PNetSpec
from app.vision.tiling import TilingPolicy
from tests.fakes import COMMON, FakeSession

SPEC = PNetSpec(
    model="windows", factor=0.7, threshold=0.6, nms_per_scale=1, nms=1, max_candidates=10_000, **COMMON
)
POLICIES = [
    TilingPolicy(640, 128, 32, 8),
    TilingPolicy(64, 32, 2, 2),
    TilingPolicy(160, 128, 160, 128, batch=4),
]


def window_means(images: ndarray) -> dict[str, ndarray]:
    """Return for each window its mean of red as the score, and offsets from its means of green and blue."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (SPEC.window, SPEC.window), axis=(1, 2))
    red, green, blue = (windows[:, ::2, ::2].mean(axis=(4, 5)) / 255).astype(np.float32).transpose(3, 0, 1, 2)
    return {"score": red, "offsets": np.stack([-green, -blue, green, blue], axis=-1)}


def picture() -> ImagePyramid:
    """Return a picture of coarse noise, so that the windows differ."""
    coarse = np.random.default_rng(0).integers(0, 256, (20, 26, 3), np.uint8)
    return ImagePyramid(np.kron(coarse, np.ones((10, 10, 1), np.uint8)))


def candidates(policy: TilingPolicy | None, **changes: object) -> Candidates:
    spec = SPEC.model_copy(update=changes)
    return SlidingWindowProposer(FakeSession(spec, window_means), spec, policy).propose(picture(), Search(20))


def expected() -> ndarray:
    """Return box and score (n, 5) of all windows above the threshold, of levels that are not cut."""
    whole = picture()
    sizes = pyramid.levels(whole.width, whole.height, 20, SPEC.cell, SPEC.factor)
    rows = []
    for level, image in zip(sizes, pyramid.resize_to_levels(whole, sizes), strict=True):
        maps = window_means(image[None])
        for i, j in np.argwhere(maps["score"][0] > SPEC.threshold):
            corner = np.array([2 * j, 2 * i, 2 * j + SPEC.cell, 2 * i + SPEC.cell])
            box = (corner + SPEC.cell * maps["offsets"][0, i, j]) * [*level.ratio, *level.ratio]
            rows.append([*box, maps["score"][0, i, j]])
    return np.array(rows)


def in_order(rows: ndarray) -> ndarray:
    return rows[np.lexsort(np.round(rows, 2).T)]


@pytest.mark.parametrize("policy", [*POLICIES, None])
def test_every_window_of_every_scale_is_read_once_wherever_canvases_end(policy: TilingPolicy | None) -> None:
    found = candidates(policy)
    rows = np.concatenate([found.boxes, found.scores[:, None]], axis=1)
    assert len(rows) == len(expected()) > 500
    np.testing.assert_allclose(in_order(rows), in_order(expected()), atol=0.006)
    assert np.all(np.diff(found.scores) <= 0)
    np.testing.assert_allclose(found.logits[:, 0], np.log(found.scores / (1 - found.scores)), rtol=1e-4)


def test_lower_scored_candidates_are_suppressed_within_a_scale_and_among_scales() -> None:
    everything, scale, both = (
        candidates(POLICIES[0], nms_per_scale=per_scale, nms=nms)
        for per_scale, nms in ((1, 1), (0.5, 1), (0.5, 0.3))
    )
    assert len(everything.scores) > len(scale.scores) > len(both.scores) > 1
    assert both.scores[0] == scale.scores[0] == everything.scores[0]


def test_the_best_candidates_are_kept() -> None:
    some, more = (candidates(POLICIES[0], max_candidates=most, nms=0.5) for most in (3, 100))
    assert len(some.boxes) == 3 < len(more.boxes)
    assert np.array_equal(some.boxes, more.boxes[:3])


def test_a_picture_smaller_than_a_face_has_no_candidates() -> None:
    net = FakeSession(SPEC, window_means)
    found = SlidingWindowProposer(net, SPEC).propose(
        ImagePyramid(np.zeros((300, 10, 3), np.uint8)), Search(20)
    )
    assert (found.boxes.shape, found.logits.shape, net.seen) == ((0, 4), (0, 1), [])


@pytest.mark.parametrize(
    ("kind", "policy"), [("cpu", None), ("cuda", None), ("cpu", POLICIES[2]), ("cuda", POLICIES[2])]
)
def test_the_canvases_are_those_of_the_policy_or_the_device(
    kind: DeviceKind, policy: TilingPolicy | None
) -> None:
    seen = []

    def answer(images: ndarray) -> dict[str, ndarray]:
        n, height, width, _ = images.shape
        seen.append((n, height, width))
        cells = n, (height - SPEC.window) // 2 + 1, (width - SPEC.window) // 2 + 1
        return {"score": np.zeros(cells, np.float32), "offsets": np.zeros((*cells, 4), np.float32)}

    large = ImagePyramid(np.zeros((700, 900, 3), np.uint8))
    SlidingWindowProposer(FakeSession(SPEC, answer, device=Device(kind)), SPEC, policy).propose(
        large, Search(12)
    )
    batches, shapes = {shape[0] for shape in seen}, {shape[1:] for shape in seen}
    if policy is not None:
        assert shapes == {(128, 160)}
        assert max(batches) == 4
    elif kind == "cuda":
        assert shapes == {(512, 640)}
        assert max(batches) > 1
    else:
        assert len(shapes) > 1
        assert max(height for height, _ in shapes) == 128
        assert batches == {1}
