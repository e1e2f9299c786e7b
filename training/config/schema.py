"""The configuration of a training run: one frozen pydantic model for each kind of net.

A run owns these numbers. A module of `training.configs` holds one configuration as `CONFIG`.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from app.vision.align import Template
from app.vision.points import Scheme

LossName = Literal["mean_squared", "pairwise_squared", "root_mean_squared", "wing"]
SelectionMetric = Literal["validation_error", "validation_loss", "validation_rmse"]
StageMetric = Literal["validation_error", "validation_false_positive_rate"]
Objective = Literal["softmax", "triplet", "siamese", "distillation"]
TripletMining = Literal["semi_hard", "violating", "hardest", "random"]
PairLoss = Literal["cross_entropy", "contrastive", "all_pairs"]
Stage = Literal["pnet", "rnet", "onet"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Augmentation(_Frozen):
    """Ranges of the random augmentation. With zeros everywhere, a training image equals the served crop.

    A range is the maximum in either direction; values are drawn uniformly. A field `..._share` is the
    share of images to which the augmentation is applied.
    """

    flip_share: float = Field(0.0, ge=0, le=1, description="Horizontal flip.")
    rotate: float = Field(0.0, ge=0, description="Rotation in degrees.")
    scale: float = Field(0.0, ge=0, description="Scale in log2: 0.2 is 0.87 to 1.15.")
    shift: float = Field(0.0, ge=0, description="Shift as a share of the input's side.")
    stretch: float = Field(0.0, ge=0, description="Aspect ratio in log2, and shear.")
    edge_share: float = Field(0.0, ge=0, le=1, description="Images whose photo edges move or vanish.")
    edge: float = Field(
        0.0, ge=0, lt=0.5, description="Maximum inward shift of an edge, of the photo's side."
    )
    light_share: float = Field(0.0, ge=0, le=1, description="Brightness, contrast, gamma and colour.")
    brightness: float = Field(0.0, ge=0, description="Offset as a share of 255.")
    contrast: float = Field(0.0, ge=0, description="Slope in log2.")
    gamma: float = Field(0.0, ge=0, description="Exponent in log2.")
    colour: float = Field(0.0, ge=0, description="Gain of each channel in log2.")
    grey_share: float = Field(0.0, ge=0, le=1, description="Conversion to grey.")
    blur_share: float = Field(0.0, ge=0, le=1, description="Gaussian blur.")
    blur: float = Field(0.0, ge=0, description="Maximum standard deviation in pixels of the input.")
    shrink_share: float = Field(0.0, ge=0, le=1, description="Loss of resolution.")
    shrink: float = Field(1.0, gt=0, le=1, description="Minimum share of the resolution that is kept.")
    noise_share: float = Field(0.0, ge=0, le=1, description="Gaussian noise.")
    noise: float = Field(0.0, ge=0, description="Maximum standard deviation as a share of 255.")
    jpeg_share: float = Field(0.0, ge=0, le=1, description="JPEG compression.")
    jpeg: int = Field(100, ge=1, le=100, description="Minimum JPEG quality.")
    occlude_share: float = Field(0.0, ge=0, le=1, description="Occlusion by blocks.")
    occlude: float = Field(0.0, ge=0, le=1, description="Maximum side of a block, of the input's side.")
    occlude_blocks: int = Field(1, ge=1, description="Maximum number of blocks.")


class RunConfig(_Frozen):
    """The fields of every run: name, input size, schedule, augmentation and seed."""

    name: str
    size: int = Field(gt=0, description="Side of the net's input in pixels.")
    epochs: int = Field(gt=0, description="Passes over the training set.")
    batch: int = Field(gt=0, description="Samples per batch.")
    learning_rate: float = Field(gt=0, description="Peak learning rate.")
    final_learning_rate: float = Field(ge=0, description="Learning rate of the last step (cosine decay).")
    warmup_epochs: float = Field(0.0, ge=0, description="Epochs of linear warm-up.")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay (AdamW).")
    ema: float = Field(0.0, ge=0, lt=1, description="Momentum of the weights' moving average; 0 disables it.")
    validate_every: int = Field(1, gt=0, description="Epochs between validations.")
    patience: int = Field(
        0,
        ge=0,
        description="Epochs without improvement after which training stops, at least `validate_every`; 0 "
        "disables it.",
    )
    start_from: str = Field(
        "",
        description="Run in the same folder whose best weights initialise the net; `imported` for published "
        "weights.",
    )
    seed: int = Field(
        0, ge=0, description="Seed of the weights, the order of the samples and the augmentation."
    )
    augment: Augmentation = Augmentation()

    @field_validator("patience")
    @classmethod
    def _check_patience(cls, patience: int, info: ValidationInfo) -> int:
        every = info.data.get("validate_every", 0)
        if 0 < patience < every:
            raise ValueError(
                f"With validate_every={every}, training could stop before its first validation, without "
                f"weights. Set patience to 0, or to {every} or more"
            )
        return patience


class LandmarkConfig(RunConfig):
    """The configuration of a landmark net."""

    template: Template
    scheme: Scheme
    loss: LossName
    choose_by: SelectionMetric = Field(
        "validation_error", description="Metric whose minimum selects the best weights."
    )
    flip_average: bool = Field(
        False, description="Whether the served points are averaged with those of the mirrored crop."
    )
    backbone: str = Field(
        "",
        description="Initial weights of the layer `backbone`: `random`, or the sha256 of a file.",
    )
    init_output_bias: bool = Field(
        False, description="Initialise the last dense layer so that it predicts the mean training face."
    )


class EmbeddingConfig(RunConfig):
    """The configuration of an embedding net: its objective and the parameters of the losses."""

    template: Template
    objective: Objective
    dimension: int = Field(gt=0, description="Length of the embedding.")

    center_weight: float = Field(0.0, ge=0, description="Lambda of the center loss; 0 is softmax alone.")
    center_alpha: float = Field(
        0.5, ge=0, lt=1, description="Share of its distance that a center keeps in an update."
    )

    people_per_batch: int = Field(0, ge=0, description="Triplets: people per batch.")
    images_per_person: int = Field(0, ge=0, description="Triplets: images per person and batch.")
    margin: float = Field(0.2, gt=0, description="Alpha of the triplet loss, in squared distance.")
    mining: TripletMining = "semi_hard"

    pairs_per_epoch: int = Field(0, ge=0, description="Siamese: pairs per epoch.")
    pair_loss: PairLoss = Field(
        "cross_entropy",
        description="Siamese: all_pairs compares each left image of a batch with each right one.",
    )
    contrastive_margin: float = Field(1.0, gt=0, description="RMS distance required of impostor pairs.")
    same_prob: float = Field(1.0, ge=0, le=1, description="Share of the drawn genuine pairs that is kept.")
    diff_prob: float | None = Field(
        None, ge=0, le=1, description="The same of impostor pairs; None balances both kinds."
    )


class SampleShares(_Frozen):
    """Shares of the samples of a batch for R- and O-Net. The rest are negatives mined by earlier stages."""

    faces: float = Field(0.2, ge=0, le=1, description="Labelled boxes, shifted and scaled at random.")
    near_faces: float = Field(0.2, ge=0, le=1, description="Candidates that overlap a face.")
    portraits: float = Field(0.0, ge=0, le=1, description="Portraits with five points.")

    @model_validator(mode="after")
    def _sum(self) -> "SampleShares":
        if self.faces + self.near_faces + self.portraits > 1 + 1e-9:
            raise ValueError("faces, near_faces and portraits add up to more than 1")
        return self


class StageConfig(RunConfig):
    """The configuration of one stage of the cascade.

    `size` of P-Net is its window. `start_from="imported"` starts with the published weights of MTCNN.
    """

    stage: Stage
    steps: int = Field(gt=0, description="Batches per epoch.")
    crop_scale: float = Field(1.0, gt=0, description="Side of the crop over the longer side of the box.")
    face_size: int = Field(12, gt=0, description="P-Net: side of the square that a face fills.")
    tile_size: int = Field(96, gt=0, description="P-Net: side of the training tiles.")

    sample_shares: SampleShares = SampleShares()
    positive_iou: float = Field(0.65, ge=0, le=1, description="Minimum IoU of a positive.")
    part_iou: float = Field(0.4, ge=0, le=1, description="Minimum IoU of a sample that the box loss uses.")
    negative_iou: float = Field(0.3, ge=0, le=1, description="IoU below which a sample is a negative.")
    ohem_fraction: float = Field(
        0.7, gt=0, le=1, description="Share of the hardest samples that the score loss uses."
    )
    negatives_per_positive: float = Field(
        0.0, ge=0, description="Maximum number of hard samples per positive; 0 sets no limit."
    )
    box_weight: float = Field(1.0, ge=0, description="Weight of the box loss.")
    points_weight: float = Field(
        0.0, ge=0, description="Weight of the points loss; above 0 P- and R-Net predict points too."
    )
    choose_by: StageMetric = Field(
        "validation_error", description="Metric whose minimum selects the best weights."
    )
    validation_share: float = Field(
        0.08, ge=0, lt=1, description="Share of WIDER FACE's training photos that is held out."
    )

    @property
    def has_points(self) -> bool:
        """Whether the net predicts five points: O-Net always, P- and R-Net with a points loss."""
        return self.stage == "onet" or self.points_weight > 0
