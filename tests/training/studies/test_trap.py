"""With the pairwise loss points keep their shape and lose their place; with mean squared error not."""

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
from training.config import LossName
from training.losses import LOSSES
from training.studies import compact, trap


def faces(count: int, seed: int) -> tuple[ndarray, ndarray]:
    """Four numbers that tell a face, and its 68 points in pixels: one shape, changed and moved by them."""
    rng = np.random.default_rng(seed)
    told = rng.uniform(-1, 1, (count, 4)).astype(np.float32)
    ways = np.random.default_rng(9).normal(0, 1.5, (4, 136))
    shape = np.random.default_rng(8).uniform(14, 50, 136)
    return told, (shape + told @ ways).reshape(count, 68, 2).astype(np.float32)


@pytest.fixture(scope="module")
def answers() -> dict[LossName, dict[str, float]]:
    """The parts of the error, on new faces, of a linear net trained with either loss."""
    told, points = faces(128, 0)
    fresh, truth = faces(64, 1)
    out: dict[LossName, dict[str, float]] = {}
    for loss in trap.LOSSES:
        keras.utils.set_random_seed(0)
        net = keras.Sequential([keras.Input((4,)), layers.Dense(136)])
        steps = 150
        net.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-2, steps)), LOSSES[loss])
        for _ in range(steps):
            net.train_on_batch(told, points.reshape(len(points), -1) / compact.SIZE)
        found = np.asarray(net(fresh)).reshape(-1, 68, 2) * np.float32(compact.SIZE)
        out[loss] = {name: float(e.mean()) for name, e in trap.parts(found, truth).items()}
    return out


def test_both_losses_learn_the_shape(answers: dict[LossName, dict[str, float]]) -> None:
    for errors in answers.values():
        assert errors["shape"] < 0.05


def test_the_pairwise_loss_alone_loses_the_place(answers: dict[LossName, dict[str, float]]) -> None:
    assert answers["mean_squared"]["place"] < 0.03
    assert answers["pairwise_squared"]["place"] > 0.3


def test_the_place_is_lost_where_x_and_y_gain_the_same(answers: dict[LossName, dict[str, float]]) -> None:
    assert answers["pairwise_squared"]["place, across"] < 0.03


def test_parts_of_a_known_error() -> None:
    truth = np.random.default_rng(0).uniform(0, 60, (2, 68, 2)).astype(np.float32)
    truth[:, 36], truth[:, 45] = (10, 20), (50, 20)
    parts = trap.parts(truth + np.array([4, 4], np.float32), truth)
    assert parts["shape"] == pytest.approx(np.zeros(2), abs=1e-6)
    assert parts["place"] == pytest.approx(np.full(2, np.sqrt(32) / 40), rel=1e-4)
    assert parts["place, along"] == pytest.approx(parts["place"], rel=1e-4)
    assert parts["place, across"] == pytest.approx(np.zeros(2), abs=1e-6)


class Knows(Detector):
    """Finds one face, in the middle of any picture, or none."""

    def __init__(self, face: bool = True) -> None:
        self.face = face

    def detect(self, picture: ImagePyramid, options: DetectOptions, timing: Timing) -> Faces:
        if not self.face:
            return NO_FACES
        points = faces(1, 2)[1] + np.float32(60)
        box = np.array([[70, 70, 115, 115]], np.float32)
        return Faces(box, np.ones(1, np.float32), five_of_ibug68(points))


def test_every_answer_is_drawn(tmp_path: Path) -> None:
    nets = {loss: compact.build() for loss in trap.LOSSES}
    trap.draw(nets, list(trap.PHOTOS[:1]), Knows(), tmp_path / "docs/trap.png")
    assert (tmp_path / "docs/trap.png").read_bytes()[:4] == b"\x89PNG"


def test_a_photograph_without_a_face_is_an_error() -> None:
    with pytest.raises(ValueError, match="no face"):
        trap.marked(compact.build(), ImagePyramid(np.zeros((90, 90, 3), np.uint8)), Knows(face=False))
