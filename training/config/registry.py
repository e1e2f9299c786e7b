"""The named runs: find a run by its name, and read the configuration and the weights of a finished run.

A run is a module of `training.configs` with `CONFIG` and `build()`.
"""

import difflib
import hashlib
import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from pydantic import TypeAdapter

from training.config.schema import EmbeddingConfig, LandmarkConfig, RunConfig, StageConfig

if TYPE_CHECKING:
    import keras

BEST_WEIGHTS = "best.weights.h5"
RUN_FILE = "run.json"

Config = TypeVar("Config", bound=RunConfig)

_CONFIGS = Path(__file__).resolve().parents[1] / "configs"
_ANY_CONFIG: TypeAdapter[RunConfig] = TypeAdapter(LandmarkConfig | EmbeddingConfig | StageConfig)


class RunError(ValueError):
    """A run cannot start as requested."""


class UnknownRun(RunError):
    """No run has the name. The message lists similar names, or all names if none is similar."""

    def __init__(self, name: str, known: list[str]) -> None:
        near = difflib.get_close_matches(name, known)
        hint = f"Similar names are: {', '.join(near)}" if near else f"The runs are: {', '.join(known)}"
        super().__init__(f"There is no run named {name!r}. {hint}.")


class Run(Protocol):
    """The contents of a module of `training.configs`."""

    @property
    def CONFIG(self) -> RunConfig:
        """The configuration of the run."""

    def build(self) -> "keras.Model":
        """Return the untrained net.

        Its input is RGB float, 0..255, (n, size, size, 3). Its output depends on the kind of the net:
        unit coordinates x0, y0, x1, y1, ... (n, 2k) of landmarks; features (n, d) of an embedding net; logit,
        offsets and points (..., 5 or 15) of a stage of the cascade (`training.config.columns`).
        """


def find(name: str) -> Run:
    """Return the run with the given name.

    Raises:
        UnknownRun: there is no module of that name in `training.configs`.
    """
    known = sorted(path.stem for path in _CONFIGS.glob("*.py") if path.stem != "__init__")
    if name not in known:
        raise UnknownRun(name, known)
    return cast(Run, importlib.import_module(f"training.configs.{name}"))


def config_of(folder: Path, kind: type[Config]) -> Config:
    """Return the configuration with which the run in `folder` was trained.

    Raises:
        RunError: the run is of another kind.
        FileNotFoundError: the folder holds no run.
    """
    config = _ANY_CONFIG.validate_python(json.loads((folder / RUN_FILE).read_text())["config"])
    if not isinstance(config, kind):
        raise RunError(f"{folder} holds a run of kind {type(config).__name__}, not {kind.__name__}.")
    return config


def build_trained(folder: Path) -> "keras.Model":
    """Return the net of the run in `folder` with its best weights on validation."""
    net = find(config_of(folder, RunConfig).name).build()
    net.load_weights(folder / BEST_WEIGHTS)
    return net


def with_pretrained_backbone(run: Run, weights: Path) -> Run:
    """Return the run with the layer `backbone` initialised from a weights file.

    Raises:
        RunError: the net has no backbone.
        FileNotFoundError: the file does not exist.
    """
    config = run.CONFIG
    if not isinstance(config, LandmarkConfig) or not config.backbone:
        raise RunError(f"The net of {config.name} has no backbone; leave out --imagenet-weights.")
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()

    class Pretrained:
        CONFIG = config.model_copy(update={"backbone": digest})

        @staticmethod
        def build() -> "keras.Model":
            net = run.build()
            net.get_layer("backbone").load_weights(weights)
            return net

    return Pretrained()
