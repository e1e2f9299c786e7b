"""`ModelSpec`: what a model file says of itself, as JSON in its ONNX metadata.

Models own these numbers: input size, template, thresholds with their calibration, licence, source.
An unknown key, kind, template or scheme is an error at start-up, never ignored.
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
    """A similarity threshold, and the false accept rate it was chosen for on the calibration set."""

    far: float = Field(gt=0, lt=1)
    threshold: float
    tar: float = Field(ge=0, le=1, description="true accept rate measured at that threshold")


class _Spec(_Frozen):
    model: str = Field(description="the name `model=` takes; files of one cascade share it")
    licence: str = Field(description="SPDX identifier, or LicenseRef-research-only")
    research_only: bool = Field(description="whether a training set's terms forbid commercial use")
    source: str = Field(description="where the weights come from")
    source_sha256: str = Field(description="of the published weights, or of the training data")


class PNetSpec(_Spec):
    """P-Net: windows over a pyramid of scales `factor` apart; a face fills their middle, the `cell`.

    A net with `grids` tells each face's size itself (it is anchor-free): the cells of a grid are its stride
    wide, and pieces overlap by a `window`. The smallest faces sought are `best_cell` pixels at the largest
    scale, where that has no more than `best_pixels`, else fewer, down to a `cell`.
    """

    kind: Literal["pnet"] = "pnet"
    cell: int = 12
    window: int = 12
    stride: int = 2
    grids: tuple[int, ...] = Field((), description="strides of its grids; none: windows of one size")
    best_cell: int = 12
    best_pixels: int = 4_000_000
    factor: float = Field(gt=0, lt=1)
    threshold: float = Field(ge=0, le=1)
    nms_per_scale: float = Field(ge=0, le=1, description="1 where nothing is suppressed within a scale")
    nms: float = Field(ge=0, le=1)
    vote: float = Field(
        1, ge=0, le=1, description="a kept box becomes the mean of all that overlap it by more (box voting)"
    )
    max_candidates: int = Field(gt=0, description="best-scored candidates kept for the next stage")


class RNetSpec(_Spec):
    """R-Net: square crops around P-Net's candidates."""

    kind: Literal["rnet"] = "rnet"
    size: int
    crop: float = Field(gt=0, description="side of the square it sees, over the box's longer side")
    threshold: float = Field(ge=0, le=1)
    nms: float = Field(ge=0, le=1)
    max_candidates: int = Field(gt=0)
    move: float = Field(1, ge=0, le=1, description="how far a box goes towards the net's own")


class ONetSpec(_Spec):
    """O-Net: the final boxes, scores and five points."""

    kind: Literal["onet"] = "onet"
    size: int
    crop: float = Field(gt=0, description="side of the square it sees, over the box's longer side")
    threshold: float = Field(ge=0, le=1, description="default of the `threshold` parameter")
    nms: float = Field(ge=0, le=1)
    nms_metric: Literal["iou", "iom"]
    trust_pnet: float = Field(0, ge=0, description="weight of P-Net's log odds in the score, O-Net's is 1")
    trust_rnet: float = Field(0, ge=0, description="weight of R-Net's log odds in the score")
    offset: float = Field(0, description="what is added to the final log odds, so that a score is the share")
    knee: float = Field(0, description="of such detections that are faces; above this of the plain log odds")
    slope: float = Field(1, gt=0, description="they rise so much faster")
    move: float = Field(1, ge=0, le=1, description="how far a box goes towards the net's own")


class LandmarkSpec(_Spec):
    """A landmark net: an aligned crop in, points in units of the crop out."""

    kind: Literal["landmarks"] = "landmarks"
    size: int
    template: Template
    scheme: Scheme


class Probability(_Frozen):
    """The probability of one person, where half of all pairs are: sigmoid(slope * similarity + offset)."""

    slope: float = Field(gt=0)
    offset: float


class ComparedSpec(_Spec):
    """What a model of vectors says of comparing them."""

    dimension: int
    metric: Literal["cosine", "probability"] = "cosine"
    calibrated_on: str | None = None
    thresholds: tuple[Calibration, ...] = ()
    default_far: float | None = None
    probability: Probability | None = Field(
        None, description="none where the similarity is a probability itself, or nothing was calibrated"
    )


class EmbedderSpec(ComparedSpec):
    """An embedder: an aligned crop in, a vector of length 1 out.

    One whose metric is `probability` is the branch of a pair of nets. Its output `branch`, of any length, is
    what the head takes.
    """

    kind: Literal["embedder"] = "embedder"
    size: int
    template: Template
    flip_average: bool = Field(description="whether the mirrored crop's vector is added before normalising")


class HeadSpec(_Spec):
    """The head of a pair of nets: two branches' answers (n, 2, dimension) in, a probability out."""

    kind: Literal["head"] = "head"
    dimension: int = Field(description="of one branch's answer")


class FusionSpec(ComparedSpec):
    """A model of other models: their vectors, end to end, in; one vector of length 1 out."""

    kind: Literal["fusion"] = "fusion"
    parts: tuple[str, ...] = Field(min_length=2, description="names of the embedders, in order")
    flip_average: tuple[bool, ...] = Field(
        description="of each part, whether the mirrored crop's vector is added; its own spec's does not count"
    )
    inputs: int = Field(description="numbers of all their vectors together")


ModelSpec = Annotated[
    PNetSpec | RNetSpec | ONetSpec | LandmarkSpec | EmbedderSpec | HeadSpec | FusionSpec,
    Field(discriminator="kind"),
]

_ADAPTER: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)

TASK_OF_KIND: dict[str, Task] = {
    "pnet": "detect",
    "rnet": "detect",
    "onet": "detect",
    "landmarks": "landmarks",
    "embedder": "embed",
    "head": "embed",
    "fusion": "embed",
}


def parse(text: str) -> ModelSpec:
    """The spec in a file's metadata. Raises pydantic's ValidationError for anything not understood."""
    return _ADAPTER.validate_json(text)
