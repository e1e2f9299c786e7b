"""What a training run is: one frozen `TrainConfig`, and the net's builder, found by the run's name.

Runs own these numbers. A run is a module of `training.configs` with `CONFIG` and `build()`.
"""

import difflib
import hashlib
import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from app.vision.align import Template
from app.vision.points import Scheme

if TYPE_CHECKING:
    import keras

BEST_WEIGHTS = "best.weights.h5"
RUN_FILE = "run.json"

LossName = Literal["mean_squared", "pairwise_squared", "root_mean_squared", "wing"]
Choice = Literal["validation_error", "validation_loss", "validation_rmse"]
Mining = Literal["semi_hard", "hardest", "random"]
PairLoss = Literal["cross_entropy", "contrastive", "crossed"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Augmentation(_Frozen):
    """How far a training picture strays. Zero everywhere leaves the served crop as it is.

    Ranges are the most in either direction, drawn evenly; `..._share` is the share of pictures that get it.
    """

    flip_share: float = Field(0.0, ge=0, le=1)
    rotate: float = Field(0.0, ge=0, description="degrees")
    scale: float = Field(0.0, ge=0, description="of log2 size: 0.2 is 0.87 to 1.15")
    shift: float = Field(0.0, ge=0, description="of the net's picture")
    stretch: float = Field(0.0, ge=0, description="of log2 width over height, and of shear")
    edge_share: float = Field(0.0, ge=0, le=1, description="of pictures whose edges move, or go")
    edge: float = Field(0.0, ge=0, lt=0.5, description="most an edge moves inwards, of the photograph's side")
    light_share: float = Field(0.0, ge=0, le=1)
    brightness: float = Field(0.0, ge=0, description="of 255")
    contrast: float = Field(0.0, ge=0, description="of log2 slope")
    gamma: float = Field(0.0, ge=0, description="of log2 exponent")
    colour: float = Field(0.0, ge=0, description="of log2 gain, by channel")
    grey_share: float = Field(0.0, ge=0, le=1)
    blur_share: float = Field(0.0, ge=0, le=1)
    blur: float = Field(0.0, ge=0, description="most standard deviation, in pixels of the net's picture")
    shrink_share: float = Field(0.0, ge=0, le=1)
    shrink: float = Field(1.0, gt=0, le=1, description="least resolution kept")
    noise_share: float = Field(0.0, ge=0, le=1)
    noise: float = Field(0.0, ge=0, description="most standard deviation, of 255")
    jpeg_share: float = Field(0.0, ge=0, le=1)
    jpeg: int = Field(100, ge=1, le=100, description="least quality")
    occlude_share: float = Field(0.0, ge=0, le=1)
    occlude: float = Field(0.0, ge=0, le=1, description="most side of a block, of the net's picture")
    occlude_blocks: int = Field(1, ge=1, description="most blocks")


class Schedule(_Frozen):
    """What every run has: its name, how long and how fast it learns, its augmentation, its seed."""

    name: str
    size: int = Field(gt=0, description="side of the net's picture, in pixels")
    epochs: int = Field(gt=0)
    batch: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    final_learning_rate: float = Field(ge=0)
    warmup_epochs: float = Field(0.0, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    ema: float = Field(0.0, ge=0, lt=1, description="momentum of the weights' moving average; 0 is none")
    validate_every: int = Field(1, gt=0, description="epochs")
    patience: int = Field(
        0, ge=0, description="epochs without better weights after which it ends; 0 is never"
    )
    start_from: str = Field("", description="run beside this one whose best weights it begins with")
    seed: int = 0
    augment: Augmentation = Augmentation()


class TrainConfig(Schedule):
    """One run of a landmark net: its points, and the loss."""

    template: Template
    scheme: Scheme
    loss: LossName
    choose_by: Choice = Field("validation_error", description="the best weights have the least of it")
    backbone: str = Field(
        "", description="first weights of its layer of that name: random, or a file's sha256"
    )
    begin_at_mean: bool = Field(
        False, description="the last layer, a dense one, begins with the training faces' mean as its answer"
    )


class FaceConfig(Schedule):
    """One run of a net for embeddings: what it learns from, and the numbers of its losses."""

    template: Template
    system: Literal["softmax", "triplet", "siamese"]
    dimension: int = Field(gt=0, description="numbers of the embedding")

    center_weight: float = Field(0.0, ge=0, description="lambda of the center loss; 0 is softmax alone")
    center_alpha: float = Field(0.5, ge=0, lt=1, description="what a batch leaves of a center's distance")

    people: int = Field(0, ge=0, description="of a batch of triplets; times `pictures` it is `batch`")
    pictures: int = Field(0, ge=0, description="of each of them")
    margin: float = Field(0.2, gt=0, description="alpha of the triplet loss, in squared distance")
    mining: Mining = "semi_hard"

    pairs: int = Field(0, ge=0, description="pairs an epoch")
    pair_loss: PairLoss = Field(
        "cross_entropy", description="crossed: of every left picture of a batch with every right one"
    )
    contrastive_margin: float = Field(1.0, gt=0, description="root mean square distance of strangers")
    same_prob: float = Field(1.0, ge=0, le=1, description="share of drawn genuine pairs that is kept")
    diff_prob: float | None = Field(
        None, ge=0, le=1, description="of impostor pairs; what makes half of all pairs genuine if None"
    )


class RunError(ValueError):
    """A run cannot begin as it is asked for."""


class UnknownRun(RunError):
    """No run has the name. The message names the nearest ones, or all where none is near."""

    def __init__(self, name: str, known: list[str]) -> None:
        near = difflib.get_close_matches(name, known)
        told = f"the nearest are {', '.join(near)}" if near else f"there are {', '.join(known)}"
        super().__init__(f"There is no run named {name!r}; {told}.")


class AnyRun(Protocol):
    """What a module of `training.configs` holds, whatever its kind."""

    CONFIG: Schedule

    @staticmethod
    def build() -> "keras.Model":
        """The net, untrained."""


@runtime_checkable
class Run(Protocol):
    """What a module of `training.configs` holds."""

    CONFIG: TrainConfig

    @staticmethod
    def build() -> "keras.Model":
        """The net, untrained: RGB float 0..255 in, unit coordinates x0, y0, x1, y1, ... out."""


@runtime_checkable
class FaceRun(Protocol):
    """What a module of `training.configs` holds for a net of embeddings."""

    CONFIG: FaceConfig

    @staticmethod
    def build() -> "keras.Model":
        """The net, untrained: RGB float 0..255 in; features, or of a siamese net its branch's answer, out."""


def pretrained(run: Run, weights: Path) -> Run:
    """The run, its net's layer `backbone` beginning with the weights of a file.

    Raises RunError for a run without a backbone, FileNotFoundError without the file.
    """
    if not run.CONFIG.backbone:
        raise RunError(f"{run.CONFIG.name} has no backbone")
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()

    class Pretrained:
        CONFIG = run.CONFIG.model_copy(update={"backbone": digest})

        @staticmethod
        def build() -> "keras.Model":
            net = run.build()
            net.get_layer("backbone").load_weights(weights)
            return net

    return Pretrained


def load(name: str) -> AnyRun:
    """Return the run of that name, of any kind. Raises UnknownRun."""
    known = sorted(p.stem for p in (Path(__file__).parent / "configs").glob("*.py") if p.stem != "__init__")
    if name not in known:
        raise UnknownRun(name, known)
    return cast(AnyRun, importlib.import_module(f"training.configs.{name}"))


def find(name: str) -> Run:
    """Return a landmark net's run of that name. Raises UnknownRun, and RunError if it is of another kind."""
    run = load(name)
    if not isinstance(run.CONFIG, TrainConfig):
        raise RunError(f"{name} is no run of a landmark net.")
    return cast(Run, run)


def find_face(name: str) -> FaceRun | None:
    """The run of that name where it is one of embeddings, None where it is of another kind."""
    run = load(name)
    return cast(FaceRun, run) if isinstance(run.CONFIG, FaceConfig) else None


def config_of(folder: Path) -> TrainConfig:
    """The config that a run in `folder` had."""
    return TrainConfig.model_validate(json.loads((folder / RUN_FILE).read_text())["config"])


def face_config_of(folder: Path) -> FaceConfig:
    """The same for a run of a net of embeddings."""
    return FaceConfig.model_validate(json.loads((folder / RUN_FILE).read_text())["config"])


def build_trained(folder: Path) -> "keras.Model":
    """The net of a run with the weights that did best on validation."""
    net = find(config_of(folder).name).build()
    net.load_weights(folder / BEST_WEIGHTS)
    return net
