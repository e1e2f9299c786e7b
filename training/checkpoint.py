"""A run's whole state in one file: weights, optimizer, moving averages, and how far it got."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
from keras import ops
from numpy import ndarray

FILE = "checkpoint.npz"

Row = dict[str, float]


@dataclass
class Progress:
    """Epochs done, their log, and the best of them by validation."""

    epoch: int = 0
    best: float = float("inf")
    best_epoch: int = 0
    rows: list[Row] = field(default_factory=list)


def save(folder: Path, net: keras.Model, progress: Progress) -> None:
    """Writes the checkpoint, whole or not at all."""
    draft = folder / "checkpoint.part.npz"
    arrays = {"progress": np.array(json.dumps(vars(progress)))}
    arrays |= {f"net{i}": _value(v) for i, v in enumerate(net.variables)}
    arrays |= {f"optimizer{i}": _value(v) for i, v in enumerate(net.optimizer.variables)}
    np.savez(draft, allow_pickle=False, **arrays)
    draft.replace(folder / FILE)


def load(folder: Path, net: keras.Model) -> Progress:
    """Puts the checkpoint into the compiled net and its optimizer. Raises FileNotFoundError without one."""
    if not net.optimizer.built:
        net.optimizer.build(net.trainable_variables)
    with np.load(folder / FILE) as saved:
        for prefix, variables in (("net", net.variables), ("optimizer", net.optimizer.variables)):
            for i, variable in enumerate(variables):
                variable.assign(saved[f"{prefix}{i}"])
        return Progress(**json.loads(str(saved["progress"])))


def save_best(path: Path, net: keras.Model) -> None:
    """Writes the net's weights alone, whole or not at all."""
    draft = path.with_name("part." + path.name)
    keras.Model(net.inputs, net.outputs).save_weights(draft)  # a compiled one adds its optimizer's state
    draft.replace(path)


class Averaged:
    """Within the block the net has the moving averages of its weights, where its optimizer keeps them."""

    def __init__(self, net: keras.Model) -> None:
        self._net = net
        self._kept: list[ndarray] = []

    def __enter__(self) -> None:
        if self._net.optimizer.use_ema:
            self._kept = [_value(v) for v in self._net.trainable_variables]
            self._net.optimizer.finalize_variable_values(self._net.trainable_variables)

    def __exit__(self, *failure: object) -> None:
        for variable, value in zip(self._net.trainable_variables, self._kept, strict=bool(self._kept)):
            variable.assign(value)


def _value(variable: keras.Variable) -> ndarray:
    return np.asarray(ops.convert_to_numpy(ops.convert_to_tensor(variable)))
