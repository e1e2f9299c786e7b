"""Thresholds measured for embedders, kept beside the models until the next `make models` builds them in."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from app.vision.spec import Calibration

FILE = "calibration.json"


class Calibrated(BaseModel):
    """What `python -m training.evaluate verification --calibrate` measured for an embedder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calibrated_on: str
    thresholds: tuple[Calibration, ...]
    default_far: float


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
