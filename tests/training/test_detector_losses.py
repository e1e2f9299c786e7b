import numpy as np
import pytest
from keras import ops

from training.detector_losses import BOX_BEND, cascade_loss, hardest, score_loss, smooth

RNG = np.random.default_rng(0)


def cross_entropy(label: float, logit: float) -> float:
    face = 1 / (1 + np.exp(-logit))
    return float(-np.log(face if label else 1 - face))


def chosen(losses: list[float], known: list[bool], count: float) -> list[float]:
    found = hardest(ops.convert_to_tensor(losses), ops.convert_to_tensor(known), ops.convert_to_tensor(count))
    return [float(v) for v in np.asarray(found)]


def test_the_greatest_known_losses_count() -> None:
    assert chosen([0.1, 0.9, 0.5, 0.7], [True] * 4, 2) == [0, 1, 0, 1]
    assert chosen([0.1, 0.9, 0.5, 0.7], [True, False, True, True], 2) == [0, 0, 1, 1]
    assert chosen([0.1, 0.9], [False, False], 1) == [0, 0]


def test_seven_tenths_of_a_batch_learn_the_score() -> None:
    logits = np.linspace(-3, 3, 10).astype(np.float32)
    losses = sorted((cross_entropy(0, v) for v in logits), reverse=True)
    found = score_loss(np.zeros(10, np.float32), np.ones(10, np.float32), logits, 0.7, 0)
    assert float(found) == pytest.approx(np.mean(losses[:7]), rel=1e-5)


def test_samples_without_a_score_do_not_count() -> None:
    logits = np.array([2, -1, 30, 30], np.float32)
    labels, weights = np.array([1, 0, 0, 0], np.float32), np.array([1, 1, 0, 0], np.float32)
    wanted = np.mean([cross_entropy(1, 2), cross_entropy(0, -1)])
    assert float(score_loss(labels, weights, logits, 1.0, 0)) == pytest.approx(wanted, rel=1e-5)
    assert float(score_loss(labels, 0 * weights, logits, 0.7, 0)) == 0


def test_rivals_bound_the_negatives_by_the_faces() -> None:
    labels = np.array([1, *[0] * 9], np.float32)
    logits = np.array([-4, *np.linspace(3, -5, 9)], np.float32)
    losses = sorted((cross_entropy(a, b) for a, b in zip(labels, logits, strict=True)), reverse=True)
    found = score_loss(labels, np.ones(10, np.float32), logits, 1.0, 2)
    assert float(found) == pytest.approx(np.mean(losses[:3]), rel=1e-5)


def test_boxes_are_squared_near_and_linear_far() -> None:
    truth, one = np.zeros((1, 1), np.float32), np.ones(1, np.float32)
    near, far = BOX_BEND / 2, 10 * BOX_BEND
    assert float(smooth(truth, truth + near, one, BOX_BEND)) == pytest.approx(near**2 / (2 * BOX_BEND))
    assert float(smooth(truth, truth + far, one, BOX_BEND)) == pytest.approx(far - BOX_BEND / 2)


@pytest.mark.parametrize(
    ("weights", "columns"), [((1,), slice(0, 1)), ((6,), slice(1, 5)), ((17,), slice(5, 15))]
)
def test_a_sample_learns_what_its_kind_has(weights: tuple[int, ...], columns: slice) -> None:
    truth = RNG.uniform(0, 1, (6, 18)).astype(np.float32)
    truth[:, 0] = 1
    truth[:, [1, 6, 17]] = 0
    truth[:, weights] = 1
    answer = RNG.uniform(2, 3, (6, 15)).astype(np.float32)
    loss = cascade_loss(1.0, 0, 1.0, 1.0)
    base = float(loss(ops.convert_to_tensor(truth), ops.convert_to_tensor(answer)))
    for column in range(15):
        other = answer.copy()
        other[:, column] += 0.5
        differs = float(loss(ops.convert_to_tensor(truth), ops.convert_to_tensor(other))) != base
        assert differs == (column in range(15)[columns])


def test_maps_and_lists_of_windows_are_one() -> None:
    truth, answer = (RNG.uniform(0, 1, (2, 3, 4, k)).astype(np.float32) for k in (7, 5))
    loss = cascade_loss(0.7, 3, 1.0, 0)
    whole = float(loss(ops.convert_to_tensor(truth), ops.convert_to_tensor(answer)))
    flat = loss(ops.convert_to_tensor(truth.reshape(-1, 7)), ops.convert_to_tensor(answer.reshape(-1, 5)))
    assert whole == pytest.approx(float(flat), rel=1e-6)
