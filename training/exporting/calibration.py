"""The calibrations of a model folder, by model.

`python -m training.evaluate calibrate` writes `calibration.json`; the next export of the same weights writes
their calibration into the spec. An export of other weights under the name of the model removes it.
"""

from pathlib import Path

from pydantic import TypeAdapter

from app.vision.spec import SimilarityCalibration

FILE = "calibration.json"

_ADAPTER = TypeAdapter(dict[str, SimilarityCalibration])


def read_calibration(models: Path) -> dict[str, SimilarityCalibration]:
    """Return the calibrations of a model folder by model; an empty dict if there is none."""
    path = models / FILE
    return _ADAPTER.validate_json(path.read_bytes()) if path.exists() else {}


def write_calibration(models: Path, calibrations: dict[str, SimilarityCalibration]) -> None:
    """Write the calibrations of a model folder, completely or not at all."""
    part = models / f"{FILE}.part"
    part.write_bytes(_ADAPTER.dump_json(calibrations, indent=2) + b"\n")
    part.replace(models / FILE)
