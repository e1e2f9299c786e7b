"""Tables, card rows and plot of detectors."""

from pathlib import Path

from training.evaluation.detection import DetectionFigures
from training.reports import detection as report

FIGURES = DetectionFigures(
    model="one",
    images=3,
    faces=4,
    average_precision=0.81234,
    recall=0.9,
    ap_by_height={"20-40": 0.1, "40-80": 0.2, "80-100000": 0.3},
    recall_by_boxes=dict.fromkeys(["1", "2", "5", "10", "20", "50", "100"], 0.5),
    threshold=0.8,
    recall_at_threshold=0.7,
    false_positives_per_image=0.05,
    false_positives_without_faces=2,
    points_nme=0.0456,
    points_shift=(1.5, -1),
    points_nme_without_shift=0.031,
    points_undetected=1,
    precision_recall=[(0.1, 1), (0.9, 0.4)],
)


def test_each_table_has_a_row_for_each_detector() -> None:
    text = report.tables([FIGURES])
    for row in (
        "| one | 0.8123 | 0.1000 | 0.2000 | 0.3000 |",
        "| one | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 | 0.900 |",
        "| one | 0.8 | 0.700 | 0.050 | 2 |",
        "| one | 4.56% | 3.10% | 1.5, -1.0 | 1 |",
    ):
        assert row in text
    assert text.startswith("WIDER FACE validation, 3 images, 4 faces of 20 px or more, IoU 0.5.")


def test_the_card_has_the_figures_at_the_default_threshold() -> None:
    rows = report.card_rows(FIGURES)
    assert rows["WIDER val, false positives per image at threshold 0.8"] == "0.050"
    assert rows["MTFL testing, undetected faces"] == "1"
    assert len(rows) == 7


def test_the_plot_is_a_png_file(tmp_path: Path) -> None:
    report.plot([FIGURES], tmp_path / "images/a.png")
    assert (tmp_path / "images/a.png").read_bytes()[:4] == b"\x89PNG"
