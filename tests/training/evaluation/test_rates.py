"""The calibrated thresholds on other people, with a fake detector and a fake embedder."""

from pathlib import Path

import pytest

from tests.fakes import fake_analyzer
from tests.training.people import write_people
from training.evaluation.face_vectors import locate
from training.evaluation.rates import Rates, limit_per_person, measure_rates
from training.reports.verification import rate_card_rows, rate_lines


def rates(folder: Path, count: int) -> Rates:
    analyzer, images = fake_analyzer(), limit_per_person(write_people(folder), count)
    faces = locate(analyzer, [image.path for image in images], [image.person for image in images])
    return measure_rates(analyzer, analyzer.embedder("vectors"), faces)


def test_rates_are_those_of_all_pairs_and_an_undetected_face_is_rejected(tmp_path: Path) -> None:
    measured = rates(tmp_path, 3)
    assert (measured.people, measured.genuine, measured.impostors) == (3, 9, 21)
    assert measured.undetected == ["c2.png"]
    for row, far, threshold in zip(measured.thresholds, (0.01, 0.001), (0.5, 0.75), strict=True):
        assert (row.calibrated_far, row.threshold) == (far, threshold)
        assert row.rates.far.value == 0
        assert row.rates.tar.value == pytest.approx(7 / 9)


def test_the_images_per_person_are_limited(tmp_path: Path) -> None:
    measured = rates(tmp_path, 2)
    assert (measured.genuine, measured.impostors, measured.undetected) == (3, 12, [])


def test_the_report_has_each_calibrated_threshold(tmp_path: Path) -> None:
    measured = rates(tmp_path, 3)
    assert (
        "calibrated FAR 0.001  threshold 0.7500  measured FAR 0.00e+00 (0.00e+00 to 0.00e+00), 0.00 times  "
        "TAR 0.778 (0.333 to 1.000)" in (rate_lines(measured, "vectors", "three")[2])
    )
    assert rate_card_rows(measured, "three") == {
        "three, measured FAR at the threshold for FAR 0.01": "0.00e+00 (0.00e+00 to 0.00e+00)",
        "three, measured FAR at the threshold for FAR 0.001": "0.00e+00 (0.00e+00 to 0.00e+00)",
    }
