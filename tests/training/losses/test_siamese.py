"""Losses of the Siamese network, on values computed by hand."""

import numpy as np
import pytest

from training.losses import siamese


def test_contrastive_loss() -> None:
    same, distance = np.array([1, 1, 0, 0], np.float32), np.array([0.0, 0.4, 0.3, 2.0], np.float32)
    losses = np.asarray(siamese.contrastive(same, distance, 1.0))
    np.testing.assert_allclose(losses, [0, 0.08, 0.5 * 0.49, 0], rtol=1e-5)


def test_cross_entropy_of_the_logits() -> None:
    labels = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    outputs = np.array([[2.0, 9.0], [0.5, 9.0]], np.float32)
    expected = (np.log1p(np.exp(-2.0)) + np.log1p(np.exp(0.5))) / 2
    assert float(siamese.cross_entropy(labels, outputs)) == pytest.approx(expected, rel=1e-5)


def test_the_contrastive_objective_adds_the_cross_entropy_of_the_logits() -> None:
    labels = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    outputs = np.array([[2.0, 0.4], [0.5, 0.3]], np.float32)
    loss = float(siamese.contrastive_and_cross_entropy(labels, outputs, 1.0))
    expected = float(siamese.cross_entropy(labels, outputs)) + (0.08 + 0.5 * 0.49) / 2
    assert loss == pytest.approx(expected, rel=1e-5)


def test_all_pairs_weigh_both_kinds_equally() -> None:
    # Left people 0 and 1, right people 0 and 0: the pairs of left 0 are genuine, those of left 1 are not.
    labels = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    logits = np.array([[2.0, -1.0], [0.5, -3.0]], np.float32)
    outputs = np.concatenate([np.zeros((2, 2), np.float32), logits], axis=1)
    genuine = np.log1p(np.exp(-logits[0])).mean()
    impostors = np.log1p(np.exp(logits[1])).mean()
    expected = 0.5 * (genuine + impostors)
    assert float(siamese.all_pairs(labels, outputs)) == pytest.approx(expected, rel=1e-5)


def test_accuracy_is_the_share_of_logits_with_the_right_sign() -> None:
    labels = np.array([[1, 0, 0], [0, 1, 0], [1, 2, 2], [0, 1, 2]], np.float32)
    outputs = np.array([[2.0, 0], [0.5, 0], [-1.0, 0], [-3.0, 0]], np.float32)
    assert float(siamese.accuracy(labels, outputs)) == 0.5
