"""The errors, the report and the plot of the study of detector boxes."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from tests.training.studies.squares import samples, squares
from training.metrics.landmarks import Interval
from training.studies import detector_boxes, small_net, square_crops


def test_errors_are_measured_in_pixels_of_the_photo() -> None:
    """The error of a net that always predicts the centre of the crop is the distance from there."""
    image = keras.Input((small_net.SIZE, small_net.SIZE, 3))
    zero = layers.Lambda(lambda x: 0 * x[:, :1, 0, 0])(image)
    middle = keras.Model(image, layers.Dense(136, bias_initializer=keras.initializers.Constant(0.5))(zero))
    some = samples(3)
    label = square_crops.label_squares(square_crops.labelled_points(some))
    label[1] = np.nan
    error = detector_boxes.errors(middle, some, label)
    centre = (label[:, :2] + label[:, 2:]) / 2 - np.float32(0.5)
    for i in (0, 2):
        points = some[i].points
        interocular = np.linalg.norm(points[36] - points[45])
        assert error[i] == pytest.approx(
            np.linalg.norm(points - centre[i], axis=1).mean() / interocular, rel=1e-3
        )
    assert np.isnan(error[1])


def test_report_and_plot(tmp_path: Path) -> None:
    offsets = square_crops.square_offsets(squares(30, 0), squares(30, 1))
    statistics = square_crops.OffsetStatistics.of(offsets)
    row = {kind: Interval(0.1, 0.09, 0.11) for kind in detector_boxes.BOX_KINDS}
    recorded = {
        "served": {
            "300w test (9 faces), 68 points, end to end: NME": {
                "value": "4.00% (95%: 3.90 to 4.10)",
                "command": "",
                "date": "",
            }
        },
        "embedder": {},
    }
    text = detector_boxes.report(statistics, {"before": row, "after": row}, recorded, 2)
    assert "| before | 10.00% (9.00 to 11.00) |" in text
    assert "| `served`, aligned by five points as in the service |  | 4.00% (3.90 to 4.10) |  |" in text
    assert "embedder" not in text
    assert "undetected faces: 2" in text
    detector_boxes.plot(offsets, {"before": row, "after": row}, tmp_path / "images/a.png")
    assert (tmp_path / "images/a.png").read_bytes()[:4] == b"\x89PNG"
