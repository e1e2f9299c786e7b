"""Calibration of embedders: thresholds for false accept rates, and similarity to probability.

`python -m training.evaluate verification --calibrate` writes `calibration.json`; the next export of the
model writes its figures into the spec.
"""

from pathlib import Path

import numpy as np
from numpy import ndarray
from pydantic import BaseModel, ConfigDict, TypeAdapter
from sklearn.linear_model import LogisticRegression

from app.vision.spec import Calibration, Probability

FILE = "calibration.json"


class Calibrated(BaseModel):
    """The calibration of one embedder; its fields are those of `app.vision.spec.ComparedSpec`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calibrated_on: str
    thresholds: tuple[Calibration, ...]
    default_far: float
    probability: Probability | None = None


_ADAPTER = TypeAdapter(dict[str, Calibrated])


def read_calibration(models: Path) -> dict[str, Calibrated]:
    """Return the calibrations of a model folder by model; an empty dict if there is none."""
    path = models / FILE
    return _ADAPTER.validate_json(path.read_bytes()) if path.exists() else {}


def write_calibration(models: Path, calibrations: dict[str, Calibrated]) -> None:
    """Write the calibrations of a model folder, completely or not at all."""
    part = models / f"{FILE}.part"
    part.write_bytes(_ADAPTER.dump_json(calibrations, indent=2) + b"\n")
    part.replace(models / FILE)


def fit_probability(genuine: ndarray, impostors: ndarray) -> Probability:
    """Return the logistic curve from a similarity to the probability of a genuine pair (Platt, 1999).

    The prior is 50%: both kinds of pairs have the same total weight. As in Platt's paper, the targets are
    slightly inside 0 and 1, so that kinds that do not overlap give a finite slope.

    Args:
        genuine: similarities of genuine pairs (n,); NaN is left out.
        impostors: similarities of impostor pairs (m,); NaN is left out.
    """
    kinds = [values[~np.isnan(values)].astype(np.float64) for values in (genuine, impostors)]
    x = np.concatenate(kinds)
    counts = [len(values) for values in kinds]
    target = np.repeat([(counts[0] + 1) / (counts[0] + 2), 1 / (counts[1] + 2)], counts)
    weight = np.repeat([0.5 / counts[0], 0.5 / counts[1]], counts)
    mean, spread = float(x.mean()), float(x.std())
    # scikit-learn takes labels, not targets: each pair is there once with either label, weighted by its
    # target.
    z = np.tile((x - mean) / spread, 2)[:, None]
    label = np.repeat([1, 0], len(x))
    weights = np.concatenate([weight * target, weight * (1 - target)]) * len(x)
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    model.fit(z, label, sample_weight=weights)
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    return Probability(slope=slope / spread, offset=intercept - slope * mean / spread)
