"""The state of a run in one file: weights, optimizer, moving averages, and the log of its epochs."""

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
from keras import ops
from numpy import ndarray

from training.config.registry import RunError
from training.data.storage.whole_file import whole_file

FILE = "checkpoint.npz"

LogRow = dict[str, float]
"""Metrics of one epoch by name."""


@dataclass
class Progress:
    """The epochs that are done, their log, and the best of them on validation."""

    epoch: int = 0
    best: float = float("inf")
    best_epoch: int = 0
    rows: list[LogRow] = field(default_factory=list)

    def finished(self, epochs: int, patience: int) -> bool:
        """Return whether training ends: after `epochs`, or after `patience` epochs without improvement.

        A patience of 0 is unlimited.
        """
        return self.epoch >= epochs or 0 < patience <= self.epoch - self.best_epoch


def save(folder: Path, net: keras.Model, progress: Progress) -> None:
    """Write the checkpoint of a compiled net into `folder`, completely or not at all."""
    arrays = {"progress": np.array(json.dumps(vars(progress)))}
    arrays |= {f"net{i}": _value(v) for i, v in enumerate(net.variables)}
    arrays |= {f"optimizer{i}": _value(v) for i, v in enumerate(net.optimizer.variables)}
    with whole_file(folder / FILE) as part:
        np.savez(part, allow_pickle=False, **arrays)


def load(folder: Path, net: keras.Model) -> Progress:
    """Restore the checkpoint in `folder` into a compiled net and its optimizer.

    Returns:
        The progress of the run.

    Raises:
        RunError: the checkpoint is damaged, or of another net.
        FileNotFoundError: the folder holds no checkpoint.
    """
    if not net.optimizer.built:
        net.optimizer.build(net.trainable_variables)
    variables = {f"net{i}": v for i, v in enumerate(net.variables)}
    variables |= {f"optimizer{i}": v for i, v in enumerate(net.optimizer.variables)}
    try:
        with (folder / FILE).open("rb") as file, np.load(file) as saved:
            arrays = {name: saved[name] for name in saved.files}
        progress = Progress(**json.loads(str(arrays.pop("progress"))))
    except FileNotFoundError:
        raise
    except (AttributeError, EOFError, KeyError, OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise RunError(
            f"{folder / FILE} is damaged, so the run cannot be continued. Train it again."
        ) from error
    if {k: a.shape for k, a in arrays.items()} != {k: tuple(v.shape) for k, v in variables.items()}:
        raise RunError(
            f"{folder / FILE} is the checkpoint of another net. Train the run again, with another --name."
        )
    for name, variable in variables.items():
        variable.assign(arrays[name])
    return progress


def save_weights(path: Path, net: keras.Model) -> None:
    """Write the weights of a net without its optimizer, completely or not at all."""
    with whole_file(path) as part:
        keras.Model(net.inputs, net.outputs).save_weights(part)  # a compiled model adds its optimizer's state


class AveragedWeights:
    """A context in which a net has the moving averages of its weights, if its optimizer keeps them."""

    def __init__(self, net: keras.Model) -> None:
        self._net = net
        self._current: list[ndarray] = []

    def __enter__(self) -> None:
        if self._net.optimizer.use_ema:
            self._current = [_value(v) for v in self._net.trainable_variables]
            self._net.optimizer.finalize_variable_values(self._net.trainable_variables)

    def __exit__(self, *failure: object) -> None:
        for variable, value in zip(self._net.trainable_variables, self._current, strict=bool(self._current)):
            variable.assign(value)


def _value(variable: keras.Variable) -> ndarray:
    return np.asarray(ops.convert_to_numpy(ops.convert_to_tensor(variable)))
