import re
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadParameter
from app.pipeline.open_set import (
    DEFAULT_FPIR,
    EXTRAPOLATION,
    near_duplicate_threshold,
    threshold_for_fpir,
)
from app.pipeline.verifier import threshold_for
from app.vision.spec import Calibration, EmbedderSpec
from tests.fakes import COMMON

IMPOSTORS = NormalDist(0.1, 0.08)
"""The similarities of impostor pairs of the calibrated model."""


def calibrated(*fars: float) -> EmbedderSpec:
    return EmbedderSpec(
        model="normal",
        size=112,
        template="arcface",
        dimension=3,
        flip_average=False,
        thresholds=tuple(Calibration(far=far, threshold=IMPOSTORS.inv_cdf(1 - far), tar=1) for far in fars),
        default_far=1e-3,
        **COMMON,
    )


SPEC = calibrated(1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)


@pytest.mark.parametrize("faces", [1, 30, 1_000])
@pytest.mark.parametrize("fpir", [0.1, 0.01])
def test_strangers_are_accepted_as_often_as_promised(faces: int, fpir: float) -> None:
    threshold = threshold_for_fpir(SPEC, faces, fpir)
    rate = 1 - IMPOSTORS.cdf(threshold) ** faces
    assert rate == pytest.approx(fpir, rel=0.15)  # between two calibrated rates the curve is interpolated


@pytest.mark.parametrize("lowest", [1e-3, 1e-5])
def test_below_the_calibrated_rates_the_tail_is_that_of_a_normal_distribution(lowest: float) -> None:
    spec = SPEC.model_copy(update={"thresholds": tuple(c for c in SPEC.thresholds if c.far >= lowest)})
    for fpir in (lowest / 10, lowest / EXTRAPOLATION):
        assert threshold_for_fpir(spec, 1, fpir) == pytest.approx(-IMPOSTORS.inv_cdf(fpir) + 0.2, abs=1e-6)


def test_one_face_needs_the_threshold_of_the_false_accept_rate() -> None:
    for far in (0.1, DEFAULT_FPIR, 2e-4, 1e-5):
        assert threshold_for_fpir(SPEC, 1, far) == pytest.approx(threshold_for(SPEC, far), abs=1e-9)


def test_an_empty_gallery_has_the_threshold_of_one_face() -> None:
    assert threshold_for_fpir(SPEC, 0, 0.01) == threshold_for_fpir(SPEC, 1, 0.01)


@given(st.integers(1, 500_000), st.integers(1, 500_000), st.floats(0.005, 0.09), st.floats(0.005, 0.09))
def test_a_larger_gallery_or_a_lower_rate_never_has_a_lower_threshold(
    a: int, b: int, c: float, d: float
) -> None:
    (few, many), (low, high) = sorted((a, b)), sorted((c, d))
    strict = threshold_for_fpir(SPEC, many, low)
    assert strict >= threshold_for_fpir(SPEC, few, low) - 1e-9
    assert strict >= threshold_for_fpir(SPEC, many, high) - 1e-9


def test_the_tail_continues_the_calibrated_curve_without_a_step() -> None:
    inside, outside = (threshold_for_fpir(SPEC, 1, far) for far in (1.0001e-5, 0.9999e-5))
    assert 0 < outside - inside < 1e-4


def test_noise_of_the_last_calibrated_rate_does_not_set_the_slope_alone() -> None:
    *others, last = SPEC.thresholds
    noisy = last.model_copy(update={"threshold": others[-1].threshold + 1e-4})
    spec = SPEC.model_copy(update={"thresholds": (*others, noisy)})
    steps = [threshold_for_fpir(s, 1, 1e-8) - s.thresholds[-1].threshold for s in (spec, SPEC)]
    assert steps[0] > 0.8 * steps[1]


def test_rates_far_above_the_lowest_one_do_not_bend_the_tail() -> None:
    moved = tuple(
        c if c.far < 2e-3 else c.model_copy(update={"threshold": c.threshold - 0.05}) for c in SPEC.thresholds
    )
    spec = SPEC.model_copy(update={"thresholds": moved})
    assert threshold_for_fpir(spec, 1, 1e-7) == threshold_for_fpir(SPEC, 1, 1e-7)


def test_near_duplicates_are_closer_than_the_default_threshold() -> None:
    threshold = near_duplicate_threshold(SPEC)
    assert threshold is not None
    assert 2 - 2 * threshold == pytest.approx(0.1 * (2 - 2 * threshold_for(SPEC, 1e-3)))


@pytest.mark.parametrize("missing", [{"default_far": None}, {"metric": "probability"}])
def test_near_duplicates_need_a_calibrated_cosine(missing: dict[str, str | None]) -> None:
    assert near_duplicate_threshold(SPEC.model_copy(update=missing)) is None


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_the_calibrated_thresholds_does_not_matter(order: int) -> None:
    spec = SPEC.model_copy(update={"thresholds": SPEC.thresholds[::order]})
    assert threshold_for_fpir(spec, 10_000, 0.01) == threshold_for_fpir(SPEC, 10_000, 0.01)


def test_no_threshold_exceeds_the_similarity_of_equal_faces() -> None:
    near_one = tuple(c.model_copy(update={"threshold": c.threshold + 0.5}) for c in SPEC.thresholds)
    spec = SPEC.model_copy(update={"thresholds": near_one})
    assert threshold_for_fpir(spec, 1_000, 0.01) < 1
    assert threshold_for_fpir(spec, 1_000_000, 0.01) == 1


@pytest.mark.parametrize(
    ("faces", "fpir"),
    [
        (1, 0.2),
        (1, 1e-9),
        (10_000, 1e-5),
        (5_000_000, 0.01),
        (10, 1.0),
        (1_000, 1.0),
        (10, 0.0),
        (10, -0.5),
        (10, np.nan),
    ],
)
def test_a_rate_that_cannot_be_promised_is_refused_with_the_range(faces: int, fpir: float) -> None:
    with pytest.raises(BadParameter, match=f"normal and a gallery of {faces} faces") as caught:
        threshold_for_fpir(SPEC, faces, fpir)
    assert caught.value.field == "fpir"
    limits = re.search(r"between (\S+) and (\S+)\.", caught.value.detail)
    assert limits is not None
    low, high = (float(limit) for limit in limits.groups())
    assert low < high
    assert not low <= fpir <= high
    for limit in (low, high):
        threshold_for_fpir(SPEC, faces, limit)


def test_a_single_calibrated_rate_gives_no_tail() -> None:
    spec = calibrated(1e-2)
    assert threshold_for_fpir(spec, 1, 0.01) == spec.thresholds[0].threshold
    with pytest.raises(BadParameter, match=r"between 0\.0199 and 0\.0199"):
        threshold_for_fpir(spec, 2, 0.01)


def test_a_model_without_calibration_asks_for_a_threshold() -> None:
    with pytest.raises(BadParameter, match="Set the parameter threshold") as caught:
        threshold_for_fpir(SPEC.model_copy(update={"thresholds": ()}), 10, 0.01)
    assert caught.value.field == "fpir"
