"""The file of calibrations of a model folder."""

from pathlib import Path

from app.vision.spec import Calibration, Probability, SimilarityCalibration
from training.exporting.calibration import read_calibration, write_calibration


def test_calibrations_come_back_as_they_were_written(tmp_path: Path) -> None:
    calibrations = {
        "m": SimilarityCalibration(
            calibrated_on="something",
            thresholds=(Calibration(far=0.01, threshold=0.3, tar=0.9),),
            default_far=0.01,
            probability=Probability(slope=9, offset=-3),
        )
    }
    assert read_calibration(tmp_path) == {}
    write_calibration(tmp_path, calibrations)
    assert read_calibration(tmp_path) == calibrations
    assert [path.name for path in tmp_path.iterdir()] == ["calibration.json"]
