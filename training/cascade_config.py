"""What a run of one of the cascade's stages is: a frozen `StageConfig` and the net's builder.

Runs own these numbers. A run is a module of `training.configs` with `CONFIG` and `build()`.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from training.config import BEST_WEIGHTS, RUN_FILE, RunError, Schedule, load

if TYPE_CHECKING:
    import keras

Stage = Literal["pnet", "rnet", "onet"]


class Kinds(BaseModel):
    """Shares of a batch. What is left is negatives, as the previous stages left them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    faces: float = Field(0.2, ge=0, le=1, description="labelled boxes, moved a little")
    near: float = Field(0.2, ge=0, le=1, description="candidates on or near a face")
    points: float = Field(0.0, ge=0, le=1, description="portraits with five points")


class StageConfig(Schedule):
    """One run of a stage: what the net sees, what of it is drawn, and the losses' weights.

    `size` is P-Net's window. A run may `start_from` the weights that MTCNN was published with, `imported`.
    """

    stage: Stage
    steps: int = Field(gt=0, description="batches an epoch")
    crop: float = Field(1.0, gt=0, description="side of what it sees, over the box's longer side")
    face: int = Field(12, gt=0, description="P-Net: side of the square that a face fills")
    tile: int = Field(96, gt=0, description="P-Net: side of the pieces it is trained on")

    kinds: Kinds = Kinds()
    positive: float = Field(0.65, description="least IoU with a face of what counts as one")
    part: float = Field(0.4, description="least IoU of what the box is learnt from")
    negative: float = Field(0.3, description="IoU below which it counts as no face")
    hardest: float = Field(0.7, gt=0, le=1, description="share of a batch's scores that counts")
    rivals: float = Field(0.0, ge=0, description="most hard samples for each face; 0 sets no bound")
    box_weight: float = Field(1.0, ge=0)
    points_weight: float = Field(0.0, ge=0)
    validation: float = Field(0.08, ge=0, lt=1, description="share of WIDER's training photographs held out")


@runtime_checkable
class StageRun(Protocol):
    """What a module of `training.configs` holds for a stage of the cascade."""

    CONFIG: StageConfig

    @staticmethod
    def build() -> "keras.Model":
        """The net, untrained: RGB float 0..255 in, (..., 5 or 15) out (`training.detector_losses`)."""


def find(name: str) -> StageRun:
    """Return the run of a stage of that name. Raises UnknownRun, and RunError if it is of another kind."""
    run = load(name)
    if not isinstance(run.CONFIG, StageConfig):
        raise RunError(f"{name} is no run of a stage of the cascade.")
    return cast(StageRun, run)


def config_of(folder: Path) -> StageConfig:
    """The config that a run in `folder` had."""
    return StageConfig.model_validate(json.loads((folder / RUN_FILE).read_text())["config"])


def build_trained(folder: Path) -> "keras.Model":
    """The net of a run with the weights that did best on validation."""
    net = find(config_of(folder).name).build()
    net.load_weights(folder / BEST_WEIGHTS)
    return net
