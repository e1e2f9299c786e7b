"""The pairwise squared error learns the shape of a face but not its position; the mean squared error both."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from numpy import ndarray

from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.faces import NO_FACES, Faces
from app.runtime.timing import Timing
from app.vision.points import five_of_ibug68
from app.vision.pyramid import ImagePyramid
from training.config.schema import LossName
from training.evaluation.user_errors import UserError
from training.losses.landmarks import LOSSES
from training.metrics.landmarks import Interval
from training.studies import pairwise_loss, small_net


def faces(count: int, seed: int) -> tuple[ndarray, ndarray]:
    """Return four numbers per face, and its 68 points in pixels, which are linear in them."""
    rng = np.random.default_rng(seed)
    inputs = rng.uniform(-1, 1, (count, 4)).astype(np.float32)
    directions = np.random.default_rng(9).normal(0, 1.5, (4, 136))
    shape = np.random.default_rng(8).uniform(14, 50, 136)
    return inputs, (shape + inputs @ directions).reshape(count, 68, 2).astype(np.float32)


@pytest.fixture(scope="module")
def errors() -> dict[LossName, dict[str, float]]:
    """The parts of the error on new faces, of a linear net trained with either loss."""
    inputs, points = faces(128, 0)
    new_inputs, labels = faces(64, 1)
    out: dict[LossName, dict[str, float]] = {}
    for loss in pairwise_loss.LOSSES:
        keras.utils.set_random_seed(0)
        net = keras.Sequential([keras.Input((4,)), layers.Dense(136)])
        steps = 150
        net.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-2, steps)), LOSSES[loss])
        for _ in range(steps):
            net.train_on_batch(inputs, points.reshape(len(points), -1) / small_net.SIZE)
        predicted = np.asarray(net(new_inputs)).reshape(-1, 68, 2) * np.float32(small_net.SIZE)
        parts = pairwise_loss.error_parts(predicted, labels)
        out[loss] = {name: float(e.mean()) for name, e in parts.items()}
    return out


def test_both_losses_learn_the_shape(errors: dict[LossName, dict[str, float]]) -> None:
    for parts in errors.values():
        assert parts["shape"] < 0.05


def test_only_the_mean_squared_error_learns_the_position(errors: dict[LossName, dict[str, float]]) -> None:
    assert errors["mean_squared"]["position"] < 0.03
    assert errors["pairwise_squared"]["position"] > 0.3


def test_opposite_errors_of_x_and_y_are_learned_by_both(errors: dict[LossName, dict[str, float]]) -> None:
    assert errors["pairwise_squared"]["position, across"] < 0.03


def test_parts_of_a_known_error() -> None:
    labels = np.random.default_rng(0).uniform(0, 60, (2, 68, 2)).astype(np.float32)
    labels[:, 36], labels[:, 45] = (10, 20), (50, 20)
    parts = pairwise_loss.error_parts(labels + np.array([4, 4], np.float32), labels)
    assert parts["shape"] == pytest.approx(np.zeros(2), abs=1e-6)
    assert parts["position"] == pytest.approx(np.full(2, np.sqrt(32) / 40), rel=1e-4)
    assert parts["position, along"] == pytest.approx(parts["position"], rel=1e-4)
    assert parts["position, across"] == pytest.approx(np.zeros(2), abs=1e-6)


class OneFace(Detector):
    """Detects one face at the same place in every photo, or none."""

    def __init__(self, face: bool = True) -> None:
        self.face = face

    def detect(self, picture: ImagePyramid, options: DetectOptions, timing: Timing) -> Faces:
        if not self.face:
            return NO_FACES
        points = faces(1, 2)[1] + np.float32(60)
        box = np.array([[70, 70, 115, 115]], np.float32)
        return Faces(box, np.ones(1, np.float32), five_of_ibug68(points))


def test_each_net_is_drawn_on_each_photo(tmp_path: Path) -> None:
    nets = {loss: small_net.build() for loss in pairwise_loss.LOSSES}
    pairwise_loss.plot(nets, list(pairwise_loss.PHOTOS[:1]), OneFace(), tmp_path / "docs/a.png")
    assert (tmp_path / "docs/a.png").read_bytes()[:4] == b"\x89PNG"


def test_a_photo_without_a_face_is_an_error() -> None:
    black = ImagePyramid(np.zeros((90, 90, 3), np.uint8))
    with pytest.raises(UserError, match="no face in a photo"):
        pairwise_loss.predict_photo(small_net.build(), black, OneFace(face=False))


def test_the_report_has_a_row_for_each_loss() -> None:
    parts = {name: Interval(0.08, 0.07, 0.09) for name in ("NME", "shape")}
    text = pairwise_loss.report({"mean_squared": parts, "pairwise_squared": parts}, 224)
    assert "on 224 prepared faces" in text
    assert "| pairwise squared error | 8.0% (7.0 to 9.0) | 8.0% (7.0 to 9.0) |" in text
