"""The signals of quality, and the curve that combines them."""

import numpy as np
import pytest

from app.pipeline import quality
from app.vision.spec import QualitySpec
from tests.fakes import FIVE_IN_BOX

SPEC = QualitySpec(bias=-4, norm=0.5, presence=0.1, steadiness=0.3)


def signals(**changes: np.ndarray) -> quality.Signals:
    """The signals of two equal faces; each change replaces what is given for both."""
    points = np.stack([FIVE_IN_BOX * 40] * 2).astype(np.float32)
    given = {
        "norms": np.full(2, 8, np.float32),
        "presence": np.full(2, 20, np.float32),
        "detected": points,
        "refined": points + np.float32(0.5),
    }
    return quality.signals(**(given | changes))


WORSE = {
    "norms": np.array([8, 5], np.float32),
    "presence": np.array([20, 2], np.float32),
    "refined": np.stack([FIVE_IN_BOX * 40 + 0.5, FIVE_IN_BOX * 40 + 4]).astype(np.float32),
}


@pytest.mark.parametrize("name", WORSE)
def test_each_signal_lowers_the_quality_of_the_worse_face(name: str) -> None:
    good, worse = quality.quality(signals(**{name: WORSE[name]}), SPEC)
    assert 0 < worse < good < 1


def test_the_signals_do_not_depend_on_the_size_of_the_image() -> None:
    points = np.stack([FIVE_IN_BOX * 40] * 2).astype(np.float32)
    small = signals(detected=points, refined=points + np.float32(0.5))
    large = signals(detected=points * 3, refined=points * 3 + np.float32(1.5))
    assert small.steadiness == pytest.approx(large.steadiness, abs=1e-3)


def test_extreme_signals_give_finite_qualities() -> None:
    points = np.zeros((2, 5, 2), np.float32)
    given = signals(
        detected=points,
        refined=points,
    )
    found = quality.quality(given, SPEC)
    assert np.isfinite(found).all()
    assert ((found >= 0) & (found <= 1)).all()


def test_the_sum_of_the_weighted_signals_is_taken_through_the_logistic_function() -> None:
    given = signals()
    total = SPEC.bias + sum(getattr(SPEC, name) * values for name, values in vars(given).items())
    assert quality.quality(given, SPEC) == pytest.approx(1 / (1 + np.exp(-total)), rel=1e-5)
