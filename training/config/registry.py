"""The named runs: find a run by its name, and read the configuration and the weights of a finished run.

A run is a module of `training.configs` with `CONFIG` and `build()`. A finished run is a folder. Its
`run.json`
names the module, because the folder may have another name.
"""

import difflib
import hashlib
import importlib
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from training.config.schema import EmbeddingConfig, LandmarkConfig, RunConfig, StageConfig

if TYPE_CHECKING:
    import keras

BEST_WEIGHTS = "best.weights.h5"
RUN_FILE = "run.json"

Config = TypeVar("Config", bound=RunConfig)

_CONFIGS = Path(__file__).resolve().parents[1] / "configs"
_ANY_CONFIG: TypeAdapter[RunConfig] = TypeAdapter(LandmarkConfig | EmbeddingConfig | StageConfig)


class RunError(ValueError):
    """A run cannot start as requested, or a finished run cannot be read.

    Attributes:
        exit_status: status of the command that the error ends.
    """

    exit_status: ClassVar[int] = 1


class UnknownRun(RunError):
    """No run has the name. The message lists similar names, or all names if none is similar."""

    exit_status = 2

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


def names() -> list[str]:
    """Return the names of the modules of `training.configs`."""
    return sorted(path.stem for path in _CONFIGS.glob("*.py") if path.stem != "__init__")


def find(name: str) -> Run:
    """Return the run with the given name.

    Raises:
        UnknownRun: there is no module of that name in `training.configs`.
    """
    if name not in names():
        raise UnknownRun(name, names())
    return cast(Run, importlib.import_module(f"training.configs.{name}"))


def read_run_file(folder: Path) -> dict[str, Any]:
    """Return the contents of `run.json` of the run in `folder`.

    Raises:
        RunError: the file is damaged.
        FileNotFoundError: the folder holds no run.
    """
    path = folder / RUN_FILE
    try:
        facts = json.loads(path.read_text())
        if isinstance(facts, dict) and isinstance(facts.get("config"), dict):
            return facts
    except ValueError:
        pass
    raise RunError(f"{path} is damaged: it does not hold the configuration of a run. Train the run again.")


def module_of(folder: Path) -> str:
    """Return the module of `training.configs` with which the run in `folder` was trained.

    Raises:
        RunError: `run.json` is damaged.
        FileNotFoundError: the folder holds no run.
    """
    facts = read_run_file(folder)
    return str(facts.get("module", facts["config"].get("name")))  # old runs have the name of their module


def config_of(folder: Path, kind: type[Config]) -> Config:
    """Return the configuration with which the run in `folder` was trained.

    Raises:
        RunError: the run is of another kind, or its configuration is not valid.
        FileNotFoundError: the folder holds no run.
    """
    try:
        config = _ANY_CONFIG.validate_python(read_run_file(folder)["config"])
    except (ValidationError, LookupError, TypeError) as error:
        raise RunError(f"{folder / RUN_FILE} holds no valid configuration. Train the run again.") from error
    if not isinstance(config, kind):
        raise RunError(f"{folder} holds a run of kind {type(config).__name__}, not {kind.__name__}.")
    return config


def build_trained(folder: Path) -> "keras.Model":
    """Return the net of the run in `folder` with its best weights on validation.

    Raises:
        RunError: the run or its weights are damaged, or the weights are of another net.
        FileNotFoundError: the folder holds no run, or no weights.
    """
    net = find(module_of(folder)).build()
    load_weights(net, folder / BEST_WEIGHTS)
    return net


def load_weights(net: "keras.Model", path: Path) -> None:
    """Set the weights of a net to those of a `.weights.h5` file.

    Raises:
        RunError: the file is damaged, or holds the weights of another net.
        FileNotFoundError: the file does not exist.
    """
    path.stat()
    try:
        with warnings.catch_warnings():
            # Keras warns of layers that the file lacks, and leaves them at random.
            warnings.filterwarnings("error", "Skipping", UserWarning)
            net.load_weights(path)
    except OSError as error:
        raise RunError(f"{path} is damaged: it is no complete HDF5 file. Train the run again.") from error
    except (ValueError, KeyError, UserWarning) as error:
        raise RunError(f"{path} holds the weights of another net than {net.name}.") from error


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
            load_weights(net.get_layer("backbone"), weights)
            return net

    return Pretrained()
