"""`ModelSpec`: the description of a net, stored as JSON in the metadata of its ONNX file.

It has the input size, the template, thresholds with their calibration, the licence and the source. A model
file with an unknown key, kind, template or scheme is refused at the start.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from app.vision.align import Template
from app.vision.points import Scheme

METADATA_KEY = "facet.spec"
"""Key of the spec in the metadata of an ONNX file."""

COSINE_KEY = "facet.cosine"
"""Key of `FloatCosine` in the metadata of the int8 file of an embedder."""

MIN_COSINE = 0.999
"""Minimum mean cosine of the vectors of an int8 file to those of its float file: both can be compared."""

UNSPECIFIED_LICENCE = "LicenseRef-unspecified"
"""Licence of weights for which nobody has named one."""

Task = Literal["detect", "landmarks", "embed"]
"""What a model does."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Calibration(_Frozen):
    """A similarity threshold that is calibrated for a false accept rate (FAR)."""

    far: float = Field(gt=0, lt=1, description="False accept rate.")
    threshold: float = Field(description="Minimum similarity for the same person.")
    tar: float = Field(ge=0, le=1, description="True accept rate (TAR) that was measured at the threshold.")


class _Spec(_Frozen):
    model: str = Field(description="Name of the model; the stages of one detector share it.")
    licence: str = Field(
        description="Licence of the weights: an SPDX expression, LicenseRef-research-only or "
        "LicenseRef-unspecified."
    )
    research_only: bool = Field(description="Whether the terms of a training set forbid commercial use.")
    source: str = Field(description="Origin of the weights.")
    source_sha256: str = Field(description="SHA-256 of the published weights, or of the training data.")


class _ProposalSpec(_Spec):
    """The fields that both kinds of proposal nets have."""

    cell: int = Field(12, description="Side of the faces that the net finds, in pixels of a scale.")
    window: int = Field(
        12, description="Side of the receptive field of a cell, and overlap of tiles, in pixels of a scale."
    )
    factor: float = Field(gt=0, lt=1, description="Ratio of each scale to the previous one.")
    threshold: float = Field(ge=0, le=1, description="Minimum score of a candidate.")
    nms: float = Field(
        ge=0, le=1, description="IoU above which NMS drops the candidate with the lower score."
    )
    max_candidates: int = Field(
        gt=0, description="Maximum number of candidates for the next stage, those with the highest scores."
    )


class PNetSpec(_ProposalSpec):
    """P-Net of MTCNN (Zhang et al., 2016): a window of fixed size slides over an image pyramid."""

    kind: Literal["pnet"] = "pnet"
    stride: int = Field(2, description="Distance of two windows in pixels of a scale.")
    nms_per_scale: float = Field(ge=0, le=1, description="Like `nms`, but within each scale; 1 disables it.")


class AnchorFreeSpec(_ProposalSpec):
    """An anchor-free proposal net: each cell of its output grids predicts position and size of one face.

    YuNet (Wu et al., 2023) is such a net. At the largest scale, the smallest requested face has a side of
    `best_cell` pixels. If this scale would have more than `best_pixels` pixels, it is reduced, but at most
    until the smallest face has a side of `cell` pixels.
    """

    kind: Literal["anchor_free"] = "anchor_free"
    strides: tuple[int, ...] = Field(min_length=1, description="Strides of the output grids in pixels.")
    best_cell: int = Field(
        12, description="Preferred side of the smallest face at the largest scale, in pixels of the scale."
    )
    best_pixels: int = Field(
        4_000_000, description="Number of pixels above which the largest scale is reduced."
    )
    vote: float = Field(
        1,
        ge=0,
        le=1,
        description="Minimum IoU of a vote in box voting, which replaces a kept box by the mean of all boxes "
        "with a greater IoU; 1 disables it.",
    )
    coarse_penalty: float = Field(
        0,
        ge=0,
        description="Logit that a candidate of a scale after the first loses if its side in that scale is at "
        "most half of `coarse_side`.",
    )
    coarse_side: float = Field(
        32,
        gt=0,
        description="Side in pixels of a scale from which a candidate loses nothing. Between half of it and "
        "all of it the loss falls in proportion to the logarithm of the side.",
    )


class RNetSpec(_Spec):
    """R-Net of MTCNN (Zhang et al., 2016): accepts or drops candidates, and corrects their boxes."""

    kind: Literal["rnet"] = "rnet"
    size: int = Field(description="Side of the input in pixels.")
    crop: float = Field(gt=0, description="Side of the cropped square divided by the longer side of the box.")
    threshold: float = Field(ge=0, le=1, description="Minimum score of a candidate.")
    nms: float = Field(
        ge=0, le=1, description="IoU above which NMS drops the candidate with the lower score."
    )
    max_candidates: int = Field(
        gt=0, description="Maximum number of candidates for the next stage, those with the highest scores."
    )
    box_blend: float = Field(
        1, ge=0, le=1, description="Weight of the regressed box; the input box has the rest."
    )


class ScoreWeights(_Frozen):
    """Weights of the logits of the earlier nets in the fused score. O-Net has the weight 1."""

    proposal: float = Field(0, ge=0, description="Weight of the proposal net.")
    rnet: float = Field(0, ge=0, description="Weight of R-Net.")


class ScoreCalibration(_Frozen):
    """A piecewise linear function of the fused logit. It makes a score the share of correct detections.

    logit + bias + (slope - 1) * max(0, logit - knee)
    """

    bias: float = Field(0, description="Bias added to the logit.")
    knee: float = Field(0, description="Logit above which the slope applies.")
    slope: float = Field(1, gt=0, description="Slope above the knee.")


class ONetSpec(_Spec):
    """O-Net of MTCNN (Zhang et al., 2016): gives the final boxes, scores and five points."""

    kind: Literal["onet"] = "onet"
    size: int = Field(description="Side of the input in pixels.")
    crop: float = Field(gt=0, description="Side of the cropped square divided by the longer side of the box.")
    threshold: float = Field(ge=0, le=1, description="Default of the parameter `threshold`.")
    nms: float = Field(ge=0, le=1, description="Overlap above which NMS drops the face with the lower score.")
    nms_metric: Literal["iou", "iom"] = Field(
        description="Overlap in NMS: intersection over union, or over the area of the smaller box."
    )
    score_weights: ScoreWeights = Field(
        ScoreWeights(), description="Weights of the earlier nets in the fused score."
    )
    score_calibration: ScoreCalibration = Field(
        ScoreCalibration(), description="Calibration of the fused score."
    )
    box_blend: float = Field(
        1, ge=0, le=1, description="Weight of the regressed box; the input box has the rest."
    )


class LandmarkSpec(_Spec):
    """A landmark net: reads aligned crops, returns points in units of the crop's side."""

    kind: Literal["landmarks"] = "landmarks"
    size: int = Field(description="Side of the input in pixels.")
    template: Template = Field(description="Template of the alignment.")
    scheme: Scheme = Field(description="The points and their order.")
    flip_average: bool = Field(
        False, description="Whether the points are averaged with those of the mirrored crop."
    )


class MeshSpec(_Spec):
    """A face mesh: reads crops of a face, returns 468 points with depth in units of the crop's side.

    The first crop is aligned by the five points, the second by the mesh of the first. The mesh of the second
    crop is averaged with that of its mirrored image.
    """

    kind: Literal["mesh"] = "mesh"
    size: int = Field(description="Side of the input in pixels.")
    template: Template = Field(description="Template of the first alignment.")
    extent: float = Field(gt=0, description="Side of the second crop over the longer side of the mesh.")
    scheme: Literal["mesh468", "ibug68"] = Field(description="The points that are made of the mesh.")


class Probability(_Frozen):
    """Logistic curve: P(same person) = sigmoid(slope * similarity + offset), assuming a 50% prior."""

    slope: float = Field(gt=0, description="Slope of the curve.")
    offset: float = Field(description="Offset of the curve.")


class SimilarityCalibration(_Frozen):
    """The calibration of one embedder."""

    calibrated_on: str = Field(description="The pairs that the thresholds were calibrated on.")
    thresholds: tuple[Calibration, ...] = Field(min_length=1, description="Calibrated thresholds.")
    default_far: float = Field(description="False accept rate of the default threshold.")
    probability: Probability | None = Field(
        None, description="Curve from similarity to probability. None if the similarity is a probability."
    )


class ComparedSpec(_Spec):
    """The fields of all models whose vectors are compared."""

    dimension: int = Field(description="Length of a vector.")
    mesh: str | None = Field(
        None,
        description="Name of the face mesh whose points align the mirrored crop. None if the points of the "
        "detector align it.",
    )
    metric: Literal["cosine", "probability"] = Field("cosine", description="Kind of the similarity.")
    calibrated_on: str | None = Field(None, description="The pairs that the thresholds were calibrated on.")
    thresholds: tuple[Calibration, ...] = Field((), description="Calibrated thresholds.")
    default_far: float | None = Field(None, description="False accept rate of the default threshold.")
    probability: Probability | None = Field(
        None,
        description="Curve from similarity to probability. None if the similarity is a probability, or if "
        "the model is not calibrated.",
    )


class EmbedderSpec(ComparedSpec):
    """An embedder: reads aligned crops, returns vectors of length 1.

    If `metric` is `probability`, the net is the branch of a Siamese network. Then it has a second output,
    `branch`, which is the input of the head.
    """

    kind: Literal["embedder"] = "embedder"
    size: int = Field(description="Side of the input in pixels.")
    template: Template = Field(description="Template of the alignment.")
    flip_average: bool = Field(
        description="Whether the vector of the mirrored crop is added before normalising to length 1."
    )


class QualitySpec(_Frozen):
    """The logistic curve of the quality of a face: sigmoid(bias + the weighted sum of the signals).

    It predicts the share of comparisons with other images of the same person that are accepted. The signals
    are those of `app.pipeline.quality.Signals`.
    """

    bias: float = Field(description="Bias of the sum.")
    norm: float = Field(description="Weight of the length of the vector before it is normalised.")
    presence: float = Field(description="Weight of the presence of a face, by the face mesh.")
    steadiness: float = Field(description="Weight of the steadiness of the five points.")


class HeadSpec(_Spec):
    """The head of a Siamese network: reads two branch outputs (n, 2, dimension), returns a probability."""

    kind: Literal["head"] = "head"
    dimension: int = Field(description="Length of one branch output.")


class FusionSpec(ComparedSpec):
    """A combination of embedders: reads their concatenated vectors, returns one vector of length 1."""

    kind: Literal["fusion"] = "fusion"
    parts: tuple[str, ...] = Field(min_length=2, description="Names of the embedders, in order.")
    flip_average: tuple[bool, ...] = Field(
        description="For each part, whether the vector of the mirrored crop is added. Replaces the setting "
        "of the part."
    )
    inputs: int = Field(description="Length of the concatenated vectors.")
    quality: QualitySpec | None = Field(
        None, description="The quality of a face by the signals of the parts. None if it is not known."
    )


class FloatCosine(_Frozen):
    """Cosines between the vectors of an int8 file and those of its float file, measured on aligned faces."""

    measured_on: str = Field(description="The faces.")
    mean: float = Field(description="Mean of the cosines.")
    percentile_1: float = Field(description="1st percentile of the cosines.")
    minimum: float = Field(description="Minimum of the cosines.")


ModelSpec = Annotated[
    PNetSpec
    | AnchorFreeSpec
    | RNetSpec
    | ONetSpec
    | LandmarkSpec
    | MeshSpec
    | EmbedderSpec
    | HeadSpec
    | FusionSpec,
    Field(discriminator="kind"),
]

_ADAPTER: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)

TASK_OF_KIND: dict[str, Task] = {
    "pnet": "detect",
    "anchor_free": "detect",
    "rnet": "detect",
    "onet": "detect",
    "landmarks": "landmarks",
    "mesh": "landmarks",
    "embedder": "embed",
    "head": "embed",
    "fusion": "embed",
}


def parse(text: str) -> ModelSpec:
    """Return the spec of a net from the JSON in its metadata.

    Raises:
        ValidationError: the text is not a valid spec (pydantic's error, a ValueError).
    """
    return _ADAPTER.validate_json(text)


def stage_of(spec: ModelSpec) -> str:
    """Return the stage of a net: its kind, but one for both kinds of proposal nets and of landmark nets."""
    if isinstance(spec, PNetSpec | AnchorFreeSpec):
        return "pnet"
    return "landmarks" if isinstance(spec, MeshSpec) else spec.kind
