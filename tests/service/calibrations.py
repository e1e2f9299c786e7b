"""A valid calibration file for tests."""

from datetime import UTC, datetime
from typing import Any

from app.service.calibration_file import CalibrationFile
from app.vision.spec import Probability
from tests.stores import entries


def calibration_file(
    embedder: str = "sface", weights: tuple[str, ...] = ("cascade", "sface")
) -> CalibrationFile:
    """Return the calibration of an embedder with the weights of these models of the checkout."""
    rates: list[dict[str, Any]] = [
        {"far": far, "threshold": threshold, "tar": tar, "far_interval": (0, 0.1), "tar_interval": (0.5, 1)}
        for far, threshold, tar in ((0.1, 0.31, 0.99), (0.01, 0.42, 0.98), (0.001, 0.53, 0.9))
    ]
    content = {
        "version": 1,
        "created": datetime(2026, 1, 2, tzinfo=UTC),
        "embedders": {
            embedder: {
                "detector": "cascade",
                "weights": {f.file: f.sha256 for entry in entries(weights) for f in entry.files},
                "people": 30,
                "images": 150,
                "genuine_pairs": 300,
                "impostor_pairs": 10_875,
                "default_far": 0.001,
                "thresholds": rates,
                "probability": Probability(slope=20, offset=-9),
            }
        },
    }
    return CalibrationFile.model_validate(content)
