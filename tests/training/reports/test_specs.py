"""Specs of models, read and in words."""

from pathlib import Path

import pytest

from app.vision.spec import (
    AnchorFreeSpec,
    EmbedderSpec,
    FusionSpec,
    HeadSpec,
    LandmarkSpec,
    ModelSpec,
    ONetSpec,
    PNetSpec,
    Probability,
    RNetSpec,
    ScoreCalibration,
    ScoreWeights,
)
from tests.fakes import COMMON
from training.reports.specs import describe, probability, read_spec

PROPOSALS = {"factor": 0.7, "threshold": 0.5, "nms": 0.6, "max_candidates": 9, "model": "m", **COMMON}
CROPS = {"size": 24, "crop": 0.9, "threshold": 0.5, "nms": 0.6, "model": "m", **COMMON}
ONET = ONetSpec.model_validate(
    CROPS
    | {
        "nms_metric": "iou",
        "score_weights": ScoreWeights(proposal=10, rnet=1),
        "score_calibration": ScoreCalibration(bias=-1.6, knee=0.18, slope=2.36),
        "box_blend": 0.3,
    }
)


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        (
            AnchorFreeSpec.model_validate(PROPOSALS | {"strides": (8, 16), "best_cell": 22}),
            ["anchor-free, strides 8, 16;", "22 px, reduced to at least 12 px", "4,000,000 pixels"],
        ),
        (
            AnchorFreeSpec.model_validate(PROPOSALS | {"strides": (8,), "coarse_penalty": 1.5}),
            ["first scale 1.5 for faces below 16 px, falling to 0 at 32 px, at most 9 candidates"],
        ),
        (
            PNetSpec.model_validate(PROPOSALS | {"nms_per_scale": 0.4}),
            ["window 12 px, face 12 px, stride 2 px", "NMS 0.4 per scale and 0.6 over all scales"],
        ),
        (
            RNetSpec.model_validate(CROPS | {"max_candidates": 9, "box_blend": 0}),
            ["input 24x24x3, crop of 0.9 of the box side", "at most 9 candidates; box blend 0"],
        ),
        (
            ONET,
            [
                "score weights: proposal net 10, R-Net 1, O-Net 1; box blend 0.3",
                "bias -1.6, slope 2.36 above a logit of 0.18",
            ],
        ),
        (
            LandmarkSpec(model="m", size=16, template="face", scheme="ibug68", **COMMON),
            ["Input 16x16x3, template `face`, scheme `ibug68`"],
        ),
        (
            EmbedderSpec(model="m", size=16, template="dlib", dimension=128, flip_average=True, **COMMON),
            ["128 dimensions, similarity: cosine, flip averaging: yes"],
        ),
        (HeadSpec(model="m", dimension=1024, **COMMON), ["two branch outputs of 1024 dimensions"]),
        (
            FusionSpec(
                model="m", dimension=4, parts=("a", "b"), flip_average=(True, False), inputs=4, **COMMON
            ),
            ["Fusion of [a](#a) with flip averaging and [b](#b): 4 dimensions"],
        ),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_the_line_of_a_net_has_its_settings(spec: ModelSpec, parts: list[str]) -> None:
    line = describe(spec)
    for part in parts:
        assert part in line


def test_the_spec_of_a_file_is_read() -> None:
    spec = read_spec(Path("models/fused.onnx"))
    assert isinstance(spec, FusionSpec)
    assert (spec.model, spec.parts) == ("fused", ("sface", "dlib"))


def test_settings_without_effect_are_left_out() -> None:
    plain = ONetSpec.model_validate(CROPS | {"nms_metric": "iou"})
    assert "box blend" not in describe(plain)
    assert "calibration" not in describe(plain)


def test_the_curve_of_the_probability_has_its_sign() -> None:
    assert probability(Probability(slope=24.432, offset=-8.838)) == "sigmoid(24.432 s - 8.838)"
    assert probability(Probability(slope=2, offset=1)) == "sigmoid(2.000 s + 1.000)"
