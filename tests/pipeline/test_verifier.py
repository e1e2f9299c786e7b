import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadParameter
from app.pipeline.verifier import threshold_for, verify
from app.vision.spec import Calibration, EmbedderSpec
from tests.fakes import COMMON

SPEC = EmbedderSpec(
    model="tiny",
    size=112,
    template="arcface",
    dimension=3,
    flip_average=False,
    calibrated_on="nothing",
    thresholds=(
        Calibration(far=1e-2, threshold=0.2, tar=0.99),
        Calibration(far=1e-3, threshold=0.3, tar=0.95),
        Calibration(far=1e-4, threshold=0.5, tar=0.9),
    ),
    default_far=1e-3,
    **COMMON,
)
X, Y = np.eye(3, dtype=np.float32)[:2]


def test_one_vector_with_itself_and_with_another() -> None:
    assert verify(SPEC, X, X, None, None).verified
    assert verify(SPEC, X, X, None, None).similarity == 1
    assert not verify(SPEC, X, Y, None, None).verified


def test_threshold_comes_from_the_request_the_rate_or_the_model() -> None:
    assert verify(SPEC, X, X, 0.9, None).threshold == 0.9
    assert verify(SPEC, X, X, None, 1e-2).threshold == pytest.approx(0.2)
    assert verify(SPEC, X, X, None, None).threshold == pytest.approx(0.3)


def test_similarity_at_the_threshold_is_verified() -> None:
    assert verify(SPEC, X, Y, 0.0, None).verified


@given(st.floats(1e-4, 1e-2), st.floats(1e-4, 1e-2))
def test_a_smaller_rate_never_has_a_lower_threshold(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert threshold_for(SPEC, low) >= threshold_for(SPEC, high) - 1e-9


def test_rates_in_between_run_straight_in_their_logarithm() -> None:
    assert threshold_for(SPEC, 10**-2.5) == pytest.approx(0.25)


@pytest.mark.parametrize("far", [1e-5, 0.5])
def test_rates_outside_the_calibration_are_refused(far: float) -> None:
    with pytest.raises(BadParameter, match=r"0\.0001 to 0\.01") as caught:
        threshold_for(SPEC, far)
    assert caught.value.field == "far"


def test_threshold_and_rate_together_are_refused() -> None:
    with pytest.raises(BadParameter, match="not both"):
        verify(SPEC, X, X, 0.5, 1e-3)


def test_a_model_without_calibration_asks_for_a_threshold() -> None:
    bare = SPEC.model_copy(update={"thresholds": (), "default_far": None})
    with pytest.raises(BadParameter, match="give one"):
        verify(bare, X, X, None, None)
    assert verify(bare, X, X, 0.5, None).verified
