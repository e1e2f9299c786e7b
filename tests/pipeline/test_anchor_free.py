"""The anchor-free proposer: a fake net that takes a white square for a face, over tiles and scales."""

import numpy as np
import pytest
from numpy import ndarray

from app.pipeline.anchor_free import MIN_SIZE_RATIO, AnchorFreeProposer
from app.pipeline.proposals import Search
from app.runtime.device import Device, DeviceKind
from app.vision.boxes import iou
from app.vision.pyramid import ImagePyramid
from app.vision.spec import AnchorFreeSpec
from app.vision.tiling import TilingPolicy
from tests.fakes import COMMON, FakeSession

SPEC = AnchorFreeSpec(
    model="squares",
    cell=12,
    window=96,
    strides=(8, 16),
    best_cell=12,
    factor=0.4,
    threshold=0.3,
    nms=0.4,
    max_candidates=20,
    **COMMON,
)
WHOLE = TilingPolicy(2048, 2048, 32, 32)
TILED = TilingPolicy(320, 288, 32, 32, columns=2)
SAME = TilingPolicy(320, 288, 320, 288, batch=4)


def white_squares(images: ndarray) -> dict[str, ndarray]:
    """Return maps in which the cell at the middle of each white rectangle predicts this rectangle."""
    out = {}
    for stride in SPEC.strides:
        rows, columns = images.shape[1] // stride, images.shape[2] // stride
        score = np.zeros((len(images), rows, columns), np.float32)
        offsets = np.zeros((len(images), rows, columns, 4), np.float32)
        for n, image in enumerate(images):
            white = image[..., 0] > 128
            for x1, y1, x2, y2 in runs(white):
                i, j = int((y1 + y2) / 2 // stride), int((x1 + x2) / 2 // stride)
                corner = np.array([j, i, j, i]) * stride + np.array([0, 0, stride, stride])
                score[n, i, j] = 0.9 if stride == 8 else 0.8
                offsets[n, i, j] = (np.array([x1, y1, x2, y2]) - corner) / stride
        out[f"score{stride}"], out[f"offsets{stride}"] = score, offsets
    return out


def runs(white: ndarray) -> list[tuple[int, int, int, int]]:
    """Return the white rectangles, no two of which share a row, if they are as large as a face."""
    rows = np.flatnonzero(np.diff(np.concatenate([[0], white.any(axis=1), [0]])))
    found = []
    for top, bottom in rows.reshape(-1, 2):
        columns = np.flatnonzero(white[top:bottom].any(axis=0))
        if bottom - top < SPEC.cell * 0.8:
            continue  # too small for the net
        found.append((int(columns[0]), int(top), int(columns[-1]) + 1, int(bottom)))
    return found


def picture(*squares: tuple[int, int, int], width: int = 900, height: int = 700) -> ImagePyramid:
    image = np.zeros((height, width, 3), np.uint8)
    for x, y, side in squares:
        image[y : y + side, x : x + side] = 255
    return ImagePyramid(image)


def proposer(policy: TilingPolicy, **changes: object) -> tuple[AnchorFreeProposer, FakeSession]:
    net = FakeSession(SPEC, white_squares)
    return AnchorFreeProposer(net, SPEC.model_copy(update=changes), policy), net


@pytest.mark.parametrize("policy", [WHOLE, TILED, SAME])
def test_every_face_is_found_once_wherever_tiles_end(policy: TilingPolicy) -> None:
    places = [(40, 20, 30), (300, 80, 40), (430, 180, 24), (610, 260, 60), (208, 340, 30), (880, 680, 20)]
    finder, _ = proposer(policy)
    found = finder.propose(picture(*places), Search(20))
    wanted = np.array([(x, y, x + side, y + side) for x, y, side in places], np.float32)
    overlaps = iou(found.boxes, wanted)
    assert len(found.boxes) == len(places)
    assert np.all(overlaps.max(axis=0) > 0.7)
    assert np.all(np.diff(found.scores) <= 0)


def test_a_face_that_a_tile_cuts_is_left_to_the_next_scale() -> None:
    finder, _ = proposer(TILED)
    found = finder.propose(picture((100, 100, 500)), Search(12))
    assert len(found.boxes) == 1
    assert iou(found.boxes, np.array([[100, 100, 600, 600]], np.float32))[0, 0] > 0.9


def test_faces_much_smaller_than_asked_for_are_dropped() -> None:
    finder, _ = proposer(WHOLE)
    sides = [int(MIN_SIZE_RATIO * 40) - 4, int(MIN_SIZE_RATIO * 40) + 4]
    found = finder.propose(picture((60, 60, sides[0]), (300, 300, sides[1])), Search(40))
    assert [round(float(b[2] - b[0])) for b in found.boxes] == [pytest.approx(sides[1], abs=3)]


def test_a_small_picture_is_enlarged_as_far_as_its_pixels_allow() -> None:
    shapes = []

    def answer(images: ndarray) -> dict[str, ndarray]:
        shapes.append(images.shape[1:3])
        return white_squares(images)

    net = FakeSession(SPEC, answer)
    small = picture(width=200, height=160)
    for best_pixels, width in ((10**6, 320), (10**4, 128)):  # 200 * 30 / 20, rounded up; 200 * 12 / 20
        shapes.clear()
        spec = SPEC.model_copy(update={"best_cell": 30, "best_pixels": best_pixels})
        AnchorFreeProposer(net, spec, WHOLE).propose(small, Search(20))
        assert max(shape[1] for shape in shapes) == width


def test_votes_move_a_box_to_the_mean_of_its_rivals() -> None:
    def two(images: ndarray) -> dict[str, ndarray]:
        out = {}
        for stride in SPEC.strides:
            shape = (len(images), images.shape[1] // stride, images.shape[2] // stride)
            out[f"score{stride}"], out[f"offsets{stride}"] = (
                np.zeros(shape, np.float32),
                np.zeros((*shape, 4), np.float32),
            )
        # Two cells of 8 pixels side by side, their boxes enlarged to 40, at the largest scale alone.
        for j, score in ((4, 0.9), (5, 0.6)) if images.shape[1] == 128 else ():
            out["score8"][:, 4, j], out["offsets8"][:, 4, j] = score, (-2, -2, 2, 2)
        return out

    net = FakeSession(SPEC, two)
    image = picture(width=128, height=128)
    plain, voted = (
        AnchorFreeProposer(net, spec, WHOLE).propose(image, Search(12))
        for spec in (SPEC, SPEC.model_copy(update={"vote": 0.5}))
    )
    assert plain.boxes[0] == pytest.approx([16, 16, 56, 56])
    assert voted.boxes[0] == pytest.approx([20, 16, 60, 56])
    assert voted.scores == pytest.approx(plain.scores)


def test_a_picture_smaller_than_a_face_has_no_candidates() -> None:
    finder, net = proposer(WHOLE)
    found = finder.propose(picture(width=10, height=300), Search(20))
    assert (found.boxes.shape, found.logits.shape, net.seen) == ((0, 4), (0, 1), [])


def test_no_face_is_too_large_to_ask_for() -> None:
    finder, _ = proposer(WHOLE)
    assert finder.propose(picture(), Search(1.7e308)).boxes.shape == (0, 4)


def test_canvases_of_a_gpu_are_all_of_one_shape_and_batched() -> None:
    finder, net = proposer(SAME)
    net.seen.clear()
    finder.propose(picture((40, 20, 30)), Search(12))
    assert max(net.seen) == 4


@pytest.mark.parametrize(("kind", "shapes"), [("cuda", {(768, 1024)}), ("cpu", {(704, 512), (288, 384)})])
def test_the_canvases_are_those_of_the_device(kind: DeviceKind, shapes: set[tuple[int, int]]) -> None:
    seen = set()

    def answer(images: ndarray) -> dict[str, ndarray]:
        seen.add(images.shape[1:3])
        return white_squares(images)

    net = FakeSession(SPEC, answer, device=Device(kind, threads=2))
    AnchorFreeProposer(net, SPEC).propose(picture(), Search(12))
    assert shapes <= seen
    assert kind == "cpu" or seen == shapes


@pytest.mark.parametrize(("side", "loss"), [(40, 2), (80, 2), (113, 1), (160, 0), (400, 0)])
def test_small_boxes_of_a_coarse_scale_lose_score(side: int, loss: float) -> None:
    # At the second scale, 0.4 of the image's size, the sides are 16, 32, 45, 64 and 160 pixels.
    def in_second_scale(images: ndarray) -> dict[str, ndarray]:
        maps = white_squares(images)
        if images.shape[2] != 384:  # 0.4 * 900, rounded up
            maps = {name: np.zeros_like(values) for name, values in maps.items()}
        return maps

    net, image = FakeSession(SPEC, in_second_scale), picture((100, 100, side))
    plain, penalised = (
        AnchorFreeProposer(net, SPEC.model_copy(update=changes), WHOLE).propose(image, Search(12))
        for changes in ({}, {"coarse_penalty": 2.0, "coarse_side": 64.0})
    )
    assert len(plain.boxes) == 1
    np.testing.assert_array_equal(penalised.boxes, plain.boxes)
    assert plain.logits - penalised.logits == pytest.approx(np.array([[loss]]), abs=0.1)


def test_boxes_of_the_first_scale_keep_their_score() -> None:
    image = picture((100, 100, 14))
    plain, penalised = (
        proposer(WHOLE, **changes)[0].propose(image, Search(12))
        for changes in ({}, {"coarse_penalty": 2.0, "coarse_side": 64.0})
    )
    assert len(plain.boxes) == 1
    np.testing.assert_array_equal(penalised.logits, plain.logits)
