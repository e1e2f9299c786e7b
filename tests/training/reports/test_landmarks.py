"""Tables of known errors, their rows on model cards, and the comparison of nets."""

import json
from pathlib import Path

import numpy as np
import pytest

from training.evaluation.landmarks import Predictions
from training.metrics.landmarks import Interval, kaggle_scale
from training.reports import landmarks as report
from training.reports.landmarks import DETECTED, END_TO_END, GROUND_TRUTH, row_name, tables


def predictions(count: int, undetected: int, error: float) -> Predictions:
    """Return points that are `error` interocular distances right of their labels, with undetected faces."""
    labels = np.random.default_rng(0).uniform(0, 100, (count, 68, 2)).astype(np.float32)
    interocular = np.linalg.norm(labels[:, 36] - labels[:, 45], axis=1)
    offset = np.stack([error * interocular, 0 * interocular], axis=1)[:, None].astype(np.float32)
    ground_truth = labels + offset
    end_to_end = ground_truth.copy()
    end_to_end[:undetected] = np.nan
    return Predictions(tuple(f"f{i}" for i in range(count)), "ibug68", labels, end_to_end, ground_truth)


EIGHT = predictions(8, 2, 0.04)


@pytest.fixture(scope="module")
def eight() -> list[report.Table]:
    """The tables of eight faces, two of them undetected."""
    return tables(EIGHT, "300w")


def test_each_kind_of_input_has_its_table(eight: list[report.Table]) -> None:
    made = {table.title: table.figures for table in eight}
    assert list(made) == [
        f"300w test (8 faces), {points} points, {input}"
        for points in (68, 15)
        for input in (DETECTED, END_TO_END, GROUND_TRUTH)
    ]
    detected = made[f"300w test (8 faces), 68 points, {DETECTED}"]
    for part in ("nme", "median_nme", "jaw", "brows", "nose", "eyes", "mouth"):
        assert detected[part].value == pytest.approx(0.04, rel=1e-3)
    whole = made[f"300w test (8 faces), 68 points, {END_TO_END}"]
    assert whole["nme"].value == pytest.approx((2 + 6 * 0.04) / 8, rel=1e-3)
    assert whole["failure_rate"].value == 0.25
    fifteen = made[f"300w test (8 faces), 15 points, {GROUND_TRUTH}"]
    assert fifteen["nme"].value == pytest.approx(0.04, rel=1e-3)


def test_a_card_has_all_figures_of_the_comparison(eight: list[report.Table]) -> None:
    rows = report.card_rows(eight, EIGHT, "300w")
    title = "300w test (8 faces), 15 points"
    assert rows[row_name(f"{title}, {GROUND_TRUTH}", "nme")].startswith("4.00% (95%")
    for input, measure in (
        (END_TO_END, "auc"),
        (DETECTED, "eyes"),
        (DETECTED, "rmse"),
        (GROUND_TRUTH, "rmse"),
    ):
        assert row_name(f"{title}, {input}", measure) in rows
    for input, measure in ((DETECTED, "nme"), (GROUND_TRUTH, "eyes")):
        assert row_name(f"{title}, {input}", measure) not in rows
    assert rows["300w test (8 faces), undetected"] == "2"


def test_fifteen_points_have_an_error_in_pixels_of_kaggle() -> None:
    fifteen = predictions(5, 0, 0.04).in_kaggle15()
    made = {table.input: table.figures for table in tables(fifteen, "300w")}
    interocular = np.linalg.norm(fifteen.labels[:, 5] - fifteen.labels[:, 3], axis=1)
    by_face = 0.04 * interocular * kaggle_scale(fifteen.labels)  # in x; y has no error
    assert made[GROUND_TRUTH]["rmse"].value == pytest.approx(np.sqrt((by_face**2).mean() / 2), rel=1e-3)
    assert "jaw" not in made[GROUND_TRUTH]


def test_a_set_without_a_detected_face_still_has_figures() -> None:
    made = {table.input: table.figures for table in tables(predictions(4, 4, 0.0), "300w")}
    assert DETECTED not in made
    assert made[END_TO_END]["nme"].value == 1.0


def test_a_prepared_set_with_missing_labels() -> None:
    labels = np.random.default_rng(1).uniform(0, 96, (6, 15, 2)).astype(np.float32)
    labels[2:, [3, 5, 7]] = np.nan
    table = report.prepared_table(labels + np.float32(1), labels, "kaggle15", "kaggle15 validation (6 faces)")
    assert table.figures["rmse"].value == pytest.approx(1.0, rel=1e-4)
    assert np.isfinite([f.value for f in table.figures.values()]).all()


def test_figures_are_written_in_their_units() -> None:
    figure = Interval(0.0415, 0.04, 0.043)
    assert report.text("nme", figure) == "4.15% (95%: 4.00 to 4.30)"
    assert report.text("auc", figure) == "0.042 (95%: 0.040 to 0.043)"
    assert report.text("rmse", Interval(1.5, 1.25, 1.75)) == "1.50 px (95%: 1.25 to 1.75)"


def test_terminal_and_json_name_the_undetected_faces(eight: list[report.Table], tmp_path: Path) -> None:
    lines = report.lines(eight, EIGHT)
    assert lines[0] == f"300w test (8 faces), 68 points, {DETECTED}"
    assert lines[-1] == "undetected: 2 of 8 f0 f1"
    report.save(tmp_path / "runs/a.json", "a", eight, EIGHT)
    saved = json.loads((tmp_path / "runs/a.json").read_text())
    assert (saved["model"], saved["undetected"], len(saved["tables"])) == ("a", ["f0", "f1"], 6)


def test_nets_are_compared_by_their_recorded_figures(tmp_path: Path) -> None:
    entries = [
        {"name": name, "task": task, "default": False, "files": []}
        for name, task in (
            ("a", "landmarks"),
            ("b", "landmarks"),
            ("c", "embed"),
            ("unmeasured", "landmarks"),
        )
    ]
    (tmp_path / "manifest.json").write_text(json.dumps({"models": entries}))

    def rows(points: int, value: str) -> dict[str, dict[str, str]]:
        title = f"300w test (9 faces), {points} points"
        names = (row_name(f"{title}, {END_TO_END}", "nme"), row_name(f"{title}, {DETECTED}", "mouth"))
        return {name: {"value": value, "command": "", "date": ""} for name in names}

    recorded = {
        "a": rows(68, "4.1% (95%: 4 to 5)") | rows(15, "3.1%"),
        "b": rows(15, "2.1%"),
        "c": rows(68, "9%"),
    }
    (tmp_path / "metrics.json").write_text(json.dumps(recorded))
    lines = [line for line in report.comparison(tmp_path).splitlines() if line.startswith("| `")]
    assert lines[0].startswith("| `a` | 4.1% (4 to 5) |  |")
    assert [line.split(" | ")[0] for line in lines] == ["| `a`", "| `a`", "| `a`", "| `b`", "| `a`", "| `b`"]
    assert "2.1%" in lines[3]
    assert "2.1%" in lines[5]
