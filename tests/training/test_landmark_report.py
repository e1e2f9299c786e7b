"""Tables of known errors, what they leave on cards, and models side by side."""

import json
from pathlib import Path

import numpy as np
import pytest

from training import landmark_report
from training.landmark_errors import Found
from training.landmark_report import DETECTED, END_TO_END, GIVEN, prepared_table, row_name, tables
from training.metrics import Interval, to_kaggle


def answers(count: int, missed: int, off: float) -> Found:
    """Every point `off` outer-eye distances to the right of its label; the first faces not found."""
    truth = np.random.default_rng(0).uniform(0, 100, (count, 68, 2)).astype(np.float32)
    reach = np.linalg.norm(truth[:, 36] - truth[:, 45], axis=1)
    given = truth + np.stack([off * reach, 0 * reach], axis=1)[:, None].astype(np.float32)
    detected = given.copy()
    detected[:missed] = np.nan
    return Found(tuple(f"f{i}" for i in range(count)), "ibug68", truth, detected, given)


@pytest.fixture(scope="module")
def eight() -> list[landmark_report.Table]:
    """The tables of eight faces, two of them not found."""
    return tables(answers(8, 2, 0.04), "300w")


def test_every_way_of_feeding_has_its_table(eight: list[landmark_report.Table]) -> None:
    made = {table.title: table.figures for table in eight}
    assert list(made) == [
        f"300w test (8 faces), {points} points, {fed}"
        for points in (68, 15)
        for fed in (DETECTED, END_TO_END, GIVEN)
    ]
    detected = made[f"300w test (8 faces), 68 points, {DETECTED}"]
    for part in ("mean", "median", "jaw", "brows", "nose", "eyes", "mouth"):
        assert detected[part].value == pytest.approx(0.04, rel=1e-3)
    whole = made[f"300w test (8 faces), 68 points, {END_TO_END}"]
    assert whole["mean"].value == pytest.approx((2 + 6 * 0.04) / 8, rel=1e-3)
    assert whole["share_above_10%"].value == 0.25
    assert made[f"300w test (8 faces), 15 points, {GIVEN}"]["mean"].value == pytest.approx(0.04, rel=1e-3)


def test_a_card_has_every_figure_that_is_compared(eight: list[landmark_report.Table]) -> None:
    rows = {name: value for table in eight for name, value in table.rows().items()}
    on = "300w test (8 faces), 15 points"
    assert rows[row_name(f"{on}, {GIVEN}", "mean")].startswith("4.00% (95%")
    for fed, measure in ((END_TO_END, "auc_at_10%"), (DETECTED, "eyes"), (DETECTED, "rmse"), (GIVEN, "rmse")):
        assert row_name(f"{on}, {fed}", measure) in rows
    for fed, measure in ((DETECTED, "mean"), (GIVEN, "eyes")):
        assert row_name(f"{on}, {fed}", measure) not in rows


def test_fifteen_points_have_an_error_in_kaggles_pixels() -> None:
    found = answers(5, 0, 0.04).fifteen()
    made = {table.fed: table.figures for table in tables(found, "300w")}
    reach = np.linalg.norm(found.truth[:, 5] - found.truth[:, 3], axis=1)
    by_face = 0.04 * reach * to_kaggle(found.truth)  # in x; y has no error
    assert made[GIVEN]["rmse"].value == pytest.approx(np.sqrt((by_face**2).mean() / 2), rel=1e-3)
    assert "jaw" not in made[GIVEN]


def test_a_set_without_a_face_found_has_figures_still() -> None:
    made = {table.fed: table.figures for table in tables(answers(4, 4, 0.0), "300w")}
    assert DETECTED not in made
    assert made[END_TO_END]["mean"].value == 1.0


def test_a_prepared_set_with_gaps_in_its_labels() -> None:
    truth = np.random.default_rng(1).uniform(0, 96, (6, 15, 2)).astype(np.float32)
    truth[2:, [3, 5, 7]] = np.nan
    table = prepared_table(truth + np.float32(1), truth, "kaggle15", "kaggle15 validation (6 faces)")
    assert table.figures["rmse"].value == pytest.approx(1.0, rel=1e-4)
    assert np.isfinite([f.value for f in table.figures.values()]).all()


def test_figures_are_written_in_their_units() -> None:
    figure = Interval(0.0415, 0.04, 0.043)
    assert landmark_report.text("mean", figure) == "4.15% (95%: 4.00 to 4.30)"
    assert landmark_report.text("auc_at_10%", figure) == "0.042 (95%: 0.040 to 0.043)"
    assert landmark_report.text("rmse", Interval(1.5, 1.25, 1.75)) == "1.50 px (95%: 1.25 to 1.75)"


def test_models_stand_side_by_side(tmp_path: Path) -> None:
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
        on = f"300w test (9 faces), {points} points"
        names = (row_name(f"{on}, {END_TO_END}", "mean"), row_name(f"{on}, {DETECTED}", "mouth"))
        return {name: {"value": value, "command": "", "date": ""} for name in names}

    kept = {
        "a": rows(68, "4.1% (95%: 4 to 5)") | rows(15, "3.1%"),
        "b": rows(15, "2.1%"),
        "c": rows(68, "9%"),
    }
    (tmp_path / "metrics.json").write_text(json.dumps(kept))
    by_line = landmark_report.comparison(tmp_path).splitlines()
    lines: list[str] = [line for line in by_line if line.startswith("| `")]
    assert lines[0].startswith("| `a` | 4.1% (4 to 5) |  |")
    assert [line.split(" | ")[0] for line in lines] == ["| `a`", "| `a`", "| `a`", "| `b`", "| `a`", "| `b`"]
    assert "2.1%" in lines[3]
    assert "2.1%" in lines[5]
