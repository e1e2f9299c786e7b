"""Losses of the cascade, on values computed by hand."""

import numpy as np
import pytest
from keras import ops

from tests.training.cascade_sets import RNET
from training.config.columns import CascadeLabel, CascadeOutput
from training.config.schema import StageConfig
from training.losses.detection import BOX_BETA, POINTS_BETA, cascade_loss, hardest, score_loss, smooth_l1

RNG = np.random.default_rng(0)


def config_with(**changes: object) -> StageConfig:
    defaults = {"ohem_fraction": 1.0, "negatives_per_positive": 0.0, "box_weight": 1.0, "points_weight": 1.0}
    return StageConfig.model_validate(RNET.model_dump() | defaults | changes)


def cross_entropy(label: float, logit: float) -> float:
    face = 1 / (1 + np.exp(-logit))
    return float(-np.log(face if label else 1 - face))


def chosen(losses: list[float], known: list[bool], count: float) -> list[float]:
    mask = hardest(ops.convert_to_tensor(losses), ops.convert_to_tensor(known), ops.convert_to_tensor(count))
    return [float(v) for v in np.asarray(mask)]


def test_the_greatest_known_losses_are_chosen() -> None:
    assert chosen([0.1, 0.9, 0.5, 0.7], [True] * 4, 2) == [0, 1, 0, 1]
    assert chosen([0.1, 0.9, 0.5, 0.7], [True, False, True, True], 2) == [0, 0, 1, 1]
    assert chosen([0.1, 0.9], [False, False], 1) == [0, 0]


def test_the_score_is_learned_from_the_hardest_fraction_of_a_batch() -> None:
    logits = np.linspace(-3, 3, 10).astype(np.float32)
    losses = sorted((cross_entropy(0, v) for v in logits), reverse=True)
    loss = score_loss(np.zeros(10, np.float32), np.ones(10, np.float32), logits, 0.7, 0)
    assert float(loss) == pytest.approx(np.mean(losses[:7]), rel=1e-5)


def test_samples_without_a_score_label_do_not_count() -> None:
    logits = np.array([2, -1, 30, 30], np.float32)
    labels, weights = np.array([1, 0, 0, 0], np.float32), np.array([1, 1, 0, 0], np.float32)
    expected = np.mean([cross_entropy(1, 2), cross_entropy(0, -1)])
    assert float(score_loss(labels, weights, logits, 1.0, 0)) == pytest.approx(expected, rel=1e-5)
    assert float(score_loss(labels, 0 * weights, logits, 0.7, 0)) == 0


def test_the_positives_limit_the_number_of_negatives() -> None:
    labels = np.array([1, *[0] * 9], np.float32)
    logits = np.array([-4, *np.linspace(3, -5, 9)], np.float32)
    losses = sorted((cross_entropy(a, b) for a, b in zip(labels, logits, strict=True)), reverse=True)
    loss = score_loss(labels, np.ones(10, np.float32), logits, 1.0, 2)
    assert float(loss) == pytest.approx(np.mean(losses[:3]), rel=1e-5)


def test_smooth_l1_is_quadratic_near_zero_and_linear_beyond() -> None:
    labels, weight = np.zeros((1, 1), np.float32), np.ones(1, np.float32)
    near, far = BOX_BETA / 2, 10 * BOX_BETA
    loss = float(smooth_l1(labels, labels + near, weight, BOX_BETA))
    assert loss == pytest.approx(near**2 / (2 * BOX_BETA))
    assert float(smooth_l1(labels, labels + far, weight, BOX_BETA)) == pytest.approx(far - BOX_BETA / 2)


@pytest.mark.parametrize(
    ("weight", "columns"),
    [
        (CascadeLabel.FACE_WEIGHT, slice(0, 1)),
        (CascadeLabel.OFFSETS_WEIGHT, CascadeOutput.OFFSETS),
        (CascadeLabel.POINTS_WEIGHT, CascadeOutput.POINTS),
    ],
)
def test_only_the_labelled_outputs_of_a_sample_are_trained(weight: int, columns: slice) -> None:
    weights = [CascadeLabel.FACE_WEIGHT, CascadeLabel.OFFSETS_WEIGHT, CascadeLabel.POINTS_WEIGHT]
    labels = RNG.uniform(0, 1, (6, CascadeLabel.WIDTH_WITH_POINTS)).astype(np.float32)
    labels[:, CascadeLabel.FACE] = 1
    labels[:, weights] = 0
    labels[:, weight] = 1
    outputs = RNG.uniform(2, 3, (6, 15)).astype(np.float32)
    loss = cascade_loss(config_with())
    base = float(loss(ops.convert_to_tensor(labels), ops.convert_to_tensor(outputs)))
    for column in range(15):
        other = outputs.copy()
        other[:, column] += 0.5
        differs = float(loss(ops.convert_to_tensor(labels), ops.convert_to_tensor(other))) != base
        assert differs == (column in range(15)[columns])


def test_the_weights_of_the_config_scale_the_parts() -> None:
    labels = np.ones((4, CascadeLabel.WIDTH_WITH_POINTS), np.float32)
    outputs = RNG.uniform(1.5, 2, (4, 15)).astype(np.float32)

    def loss(**weights: float) -> float:
        return float(cascade_loss(config_with(**weights))(labels, outputs))

    score = loss(box_weight=0, points_weight=0)
    weight = np.ones(4, np.float32)
    box = float(
        smooth_l1(labels[:, CascadeLabel.OFFSETS], outputs[:, CascadeOutput.OFFSETS], weight, BOX_BETA)
    )
    points = float(
        smooth_l1(labels[:, CascadeLabel.POINTS], outputs[:, CascadeOutput.POINTS], weight, POINTS_BETA)
    )
    assert loss(box_weight=3, points_weight=0.5) == pytest.approx(score + 3 * box + 0.5 * points, rel=1e-5)


def test_maps_and_lists_of_windows_have_the_same_loss() -> None:
    labels, outputs = (RNG.uniform(0, 1, (2, 3, 4, k)).astype(np.float32) for k in (7, 5))
    loss = cascade_loss(config_with(ohem_fraction=0.7, negatives_per_positive=3.0))
    of_map = float(loss(ops.convert_to_tensor(labels), ops.convert_to_tensor(outputs)))
    of_list = loss(
        ops.convert_to_tensor(labels.reshape(-1, 7)), ops.convert_to_tensor(outputs.reshape(-1, 5))
    )
    assert of_map == pytest.approx(float(of_list), rel=1e-6)
