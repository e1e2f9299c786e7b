"""`ModelSpec`: what a model file says about itself, as JSON in its ONNX metadata.

Models own these numbers: input size, template, thresholds with their calibration, licence, source. An unknown
key, kind, template or scheme is an error at the start, never ignored.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from app.vision.align import Template
from app.vision.points import Scheme

METADATA_KEY = "facet.spec"

Task = Literal["detect", "landmarks", "embed"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Calibration(_Frozen):
    """A similarity threshold, and the false accept rate (FAR) for which it was calibrated."""

    far: float = Field(gt=0, lt=1)
    threshold: float
    tar: float = Field(ge=0, le=1, description="true accept rate measured at the threshold")


class _Spec(_Frozen):
    model: str = Field(description="name for `model=`; the stages of one detector share it")
    licence: str = Field(description="SPDX identifier, or LicenseRef-research-only")
    research_only: bool = Field(description="whether the terms of a training set forbid commercial use")
    source: str = Field(description="origin of the weights")
    source_sha256: str = Field(description="sha256 of the published weights, or of the training data")


class _ProposalSpec(_Spec):
    """What both kinds of proposal nets (stage P) have in common."""

    cell: int = Field(12, description="side, in pixels of a scale, of the faces found there")
    window: int = Field(12, description="side of a cell's receptive field in pixels, the overlap of pieces")
    factor: float = Field(gt=0, lt=1, description="ratio of one scale to the previous one")
    threshold: float = Field(ge=0, le=1, description="minimum score of a candidate")
    nms: float = Field(ge=0, le=1, description="IoU above which the lower-scored candidate is dropped")
    max_candidates: int = Field(gt=0, description="best-scored candidates passed to the next stage")


class PNetSpec(_ProposalSpec):
    """MTCNN's P-Net: a window of fixed size slides over an image pyramid (Zhang et al., 2016)."""

    kind: Literal["pnet"] = "pnet"
    stride: int = 2
    nms_per_scale: float = Field(ge=0, le=1, description="as `nms`, within each scale; 1 for none")


class AnchorFreeSpec(_ProposalSpec):
    """An anchor-free proposal net: each cell of its grids predicts the position and size of one face.

    The smallest faces searched for have `best_cell` pixels at the largest scale if that scale has at most
    `best_pixels`, else fewer, but not less than `cell`.
    """

    kind: Literal["anchor_free"] = "anchor_free"
    strides: tuple[int, ...] = Field(min_length=1, description="strides of its output grids in pixels")
    best_cell: int = 12
    best_pixels: int = 4_000_000
    vote: float = Field(
        1,
        ge=0,
        le=1,
        description="box voting: a kept box becomes the mean of all with a greater IoU; 1 for none",
    )


class RNetSpec(_Spec):
    """R-Net: square crops around the proposed candidates."""

    kind: Literal["rnet"] = "rnet"
    size: int = Field(description="side of its input in pixels")
    crop: float = Field(gt=0, description="side of the cropped square over the box's longer side")
    threshold: float = Field(ge=0, le=1)
    nms: float = Field(ge=0, le=1)
    max_candidates: int = Field(gt=0)
    box_blend: float = Field(1, ge=0, le=1, description="weight of the regressed box against the input box")


class ScoreWeights(_Frozen):
    """Weights of the earlier stages' logits in the fused score; O-Net's weight is 1."""

    proposal: float = Field(0, ge=0)
    rnet: float = Field(0, ge=0)


class ScoreCalibration(_Frozen):
    """A piecewise linear map of the fused logit, so that a score is the share of faces among such detections.

    logit + bias + (slope - 1) * max(0, logit - knee)
    """

    bias: float = 0
    knee: float = 0
    slope: float = Field(1, gt=0)


class ONetSpec(_Spec):
    """O-Net: the final boxes, scores and five points."""

    kind: Literal["onet"] = "onet"
    size: int = Field(description="side of its input in pixels")
    crop: float = Field(gt=0, description="side of the cropped square over the box's longer side")
    threshold: float = Field(ge=0, le=1, description="default of the `threshold` parameter")
    nms: float = Field(ge=0, le=1)
    nms_metric: Literal["iou", "iom"]
    score_weights: ScoreWeights = ScoreWeights()
    score_calibration: ScoreCalibration = ScoreCalibration()
    box_blend: float = Field(1, ge=0, le=1, description="weight of the regressed box against the input box")


class LandmarkSpec(_Spec):
    """A landmark net: an aligned crop in, points in units of the crop out."""

    kind: Literal["landmarks"] = "landmarks"
    size: int = Field(description="side of its input in pixels")
    template: Template
    scheme: Scheme


class Probability(_Frozen):
    """Logistic curve: P(same person) = sigmoid(slope * similarity + offset), assuming a 50% prior."""

    slope: float = Field(gt=0)
    offset: float


class ComparedSpec(_Spec):
    """How the vectors of a model are compared."""

    dimension: int
    metric: Literal["cosine", "probability"] = "cosine"
    calibrated_on: str | None = None
    thresholds: tuple[Calibration, ...] = ()
    default_far: float | None = None
    probability: Probability | None = Field(
        None, description="None if the similarity is a probability itself, or was not calibrated"
    )


class EmbedderSpec(ComparedSpec):
    """An embedder: an aligned crop in, a unit vector out.

    If `metric` is `probability`, it is the branch of a Siamese network, and its output `branch`, of any
    length, is the input of the head.
    """

    kind: Literal["embedder"] = "embedder"
    size: int = Field(description="side of its input in pixels")
    template: Template
    flip_average: bool = Field(description="whether the mirrored crop's vector is added before normalising")


class HeadSpec(_Spec):
    """The head of a Siamese network: the outputs of two branches (n, 2, dimension) in, a probability out."""

    kind: Literal["head"] = "head"
    dimension: int = Field(description="length of one branch's output")


class FusionSpec(ComparedSpec):
    """A combination of embedders: their concatenated vectors in, one unit vector out."""

    kind: Literal["fusion"] = "fusion"
    parts: tuple[str, ...] = Field(min_length=2, description="names of the embedders, in order")
    flip_average: tuple[bool, ...] = Field(
        description="per part, whether the mirrored crop's vector is added; overrides the part's own setting"
    )
    inputs: int = Field(description="length of the concatenated vectors")


ModelSpec = Annotated[
    PNetSpec | AnchorFreeSpec | RNetSpec | ONetSpec | LandmarkSpec | EmbedderSpec | HeadSpec | FusionSpec,
    Field(discriminator="kind"),
]

_ADAPTER: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)

TASK_OF_KIND: dict[str, Task] = {
    "pnet": "detect",
    "anchor_free": "detect",
    "rnet": "detect",
    "onet": "detect",
    "landmarks": "landmarks",
    "embedder": "embed",
    "head": "embed",
    "fusion": "embed",
}


def parse(text: str) -> ModelSpec:
    """Return the spec in a file's metadata. Raises pydantic's ValidationError if it is invalid."""
    return _ADAPTER.validate_json(text)


def stage_of(spec: ModelSpec) -> str:
    """Return the stage that a net implements: its kind; `pnet` for both kinds of proposal nets."""
    return "pnet" if isinstance(spec, PNetSpec | AnchorFreeSpec) else spec.kind
