import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadParameter
from app.pipeline.verifier import DecisionThreshold, Verdict, choose_threshold, probability, threshold_for
from app.vision.spec import Calibration, EmbedderSpec, Probability
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


def test_threshold_comes_from_the_request_the_rate_or_the_model() -> None:
    assert choose_threshold(SPEC, 0.9, None) == DecisionThreshold(0.9, None)
    assert choose_threshold(SPEC, None, 1e-2) == DecisionThreshold(0.2, 1e-2)
    assert choose_threshold(SPEC, None, None) == DecisionThreshold(0.3, 1e-3)


def test_similarity_at_the_threshold_is_verified() -> None:
    assert Verdict(0.3, None, DecisionThreshold(0.3, None)).verified
    assert not Verdict(0.2999, None, DecisionThreshold(0.3, None)).verified


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
        choose_threshold(SPEC, 0.5, 1e-3)


def test_a_model_without_calibration_asks_for_a_threshold() -> None:
    bare = SPEC.model_copy(update={"thresholds": (), "default_far": None})
    with pytest.raises(BadParameter, match="Set the parameter threshold"):
        choose_threshold(bare, None, None)
    assert choose_threshold(bare, 0.5, None) == DecisionThreshold(0.5, None)


def test_probability_is_the_logistic_curve_and_never_overflows() -> None:
    curved = SPEC.model_copy(update={"probability": Probability(slope=10, offset=-3)})
    assert probability(curved, 0.3) == pytest.approx(0.5)
    assert probability(curved, 0.5) == pytest.approx(1 / (1 + 2.718281828459045**-2))
    steep = SPEC.model_copy(update={"probability": Probability(slope=1e4, offset=0)})
    assert [probability(steep, s) for s in (-1.0, 1.0)] == [0.0, 1.0]


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_a_greater_similarity_is_never_less_likely(a: float, b: float) -> None:
    curved = SPEC.model_copy(update={"probability": Probability(slope=20, offset=-5)})
    low, high = (probability(curved, s) for s in sorted((a, b)))
    assert low is not None
    assert high is not None
    assert 0 <= low <= high <= 1


def test_a_similarity_that_is_a_probability_is_its_own() -> None:
    pairs = SPEC.model_copy(update={"metric": "probability"})
    assert probability(pairs, 0.37) == 0.37
    assert probability(SPEC, 0.37) is None
