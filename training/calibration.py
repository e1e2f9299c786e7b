"""What was measured of embedders, kept beside the models until the next `make models` builds it in.

Thresholds for false accept rates, and the curve from a similarity to a probability.
"""

from pathlib import Path

import numpy as np
from numpy import ndarray
from pydantic import BaseModel, ConfigDict, TypeAdapter

from app.vision.spec import Calibration, Probability

FILE = "calibration.json"


class Calibrated(BaseModel):
    """What `python -m training.evaluate verification --calibrate` measured for an embedder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calibrated_on: str
    thresholds: tuple[Calibration, ...]
    default_far: float
    probability: Probability | None = None


_ADAPTER = TypeAdapter(dict[str, Calibrated])


def read_calibration(models: Path) -> dict[str, Calibrated]:
    """The measured thresholds by model; none where nothing was measured yet."""
    path = models / FILE
    return _ADAPTER.validate_json(path.read_bytes()) if path.exists() else {}


def write_calibration(models: Path, known: dict[str, Calibrated]) -> None:
    """Writes them, whole or not at all."""
    draft = models / f"{FILE}.part"
    draft.write_bytes(_ADAPTER.dump_json(known, indent=2) + b"\n")
    draft.replace(models / FILE)


def fit_probability(genuine: ndarray, impostors: ndarray) -> Probability:
    """The logistic curve of a similarity's being a genuine pair's, when half of all pairs are (Platt, 1999).

    Both kinds weigh the same, however many there are; pairs without a similarity (NaN) do not count. Targets
    are drawn in from 0 and 1 as Platt does, so that kinds that never overlap still give a finite slope.
    """
    kinds = [values[~np.isnan(values)].astype(np.float64) for values in (genuine, impostors)]
    x = np.concatenate(kinds)
    counts = [len(values) for values in kinds]
    target = np.repeat([(counts[0] + 1) / (counts[0] + 2), 1 / (counts[1] + 2)], counts)
    weight = np.repeat([0.5 / counts[0], 0.5 / counts[1]], counts)
    middle, spread = x.mean(), x.std()
    z = np.stack([(x - middle) / spread, np.ones_like(x)])

    def loss(at: ndarray) -> float:
        logit = at @ z
        return float((weight * (np.logaddexp(0, logit) - target * logit)).sum())

    at = np.zeros(2)
    for _ in range(100):  # Newton's method, damped: the loss is convex
        found = 1 / (1 + np.exp(-np.clip(at @ z, -500, 500)))
        slope = z @ (weight * (found - target))
        bend = (z * (weight * found * (1 - found))) @ z.T + 1e-12 * np.eye(2)
        step = np.linalg.solve(bend, slope)
        size = 1.0
        while size > 1e-6 and loss(at - size * step) > loss(at):
            size /= 2
        at = at - size * step
        if np.abs(size * step).max() < 1e-9:
            break
    return Probability(slope=float(at[0] / spread), offset=float(at[1] - at[0] * middle / spread))
