"""Figures of detectors as Markdown and as a plot of precision over recall."""

from pathlib import Path

from training.evaluate_detection import BANDS, BOXES_A_PICTURE, DetectionFigures
from training.page import table


def tables(figures: list[DetectionFigures]) -> str:
    """The detectors side by side."""
    first = figures[0]
    bands = [f"{low}-{high}" for low, high in BANDS]
    named = [f"{low} px or more" if high > 10_000 else f"{low} to {high} px" for low, high in BANDS]
    precision = table(
        ["detector", "AP", *(f"AP, {name}" for name in named)],
        [
            [f.model, f"{f.average_precision:.4f}", *(f"{f.by_height[band]:.4f}" for band in bands)]
            for f in figures
        ],
    )
    recalls = table(
        ["recall with at most so many boxes a picture", *(str(n) for n in BOXES_A_PICTURE), "all"],
        [
            [f.model, *(f"{f.recall_by_boxes[str(n)]:.3f}" for n in BOXES_A_PICTURE), f"{f.recall:.3f}"]
            for f in figures
        ],
    )
    default = table(
        [
            "at the default threshold",
            "threshold",
            "recall",
            "false alarms a picture",
            "alarms on 200 pictures without faces",
        ],
        [
            [
                f.model,
                f"{f.threshold:g}",
                f"{f.recall_at_threshold:.3f}",
                f"{f.false_alarms_at_threshold:.3f}",
                str(f.alarms_without_faces),
            ]
            for f in figures
        ],
    )
    points = table(
        [
            "five points, MTFL testing (700)",
            "mean error over the eye distance",
            "less the labels' shift",
            "found from the labels, median (px)",
            "not found",
        ],
        [
            [
                f.model,
                f"{100 * f.points_error:.2f}%",
                f"{100 * f.points_error_less_shift:.2f}%",
                f"{f.points_shift[0]:.1f}, {f.points_shift[1]:.1f}",
                str(f.points_missed),
            ]
            for f in figures
        ],
    )
    on = f"WIDER FACE validation, {first.pictures} pictures, {first.faces} faces of 20 px or more, IoU 0.5."
    return "\n\n".join([on, precision, recalls, default, points])


def rows(figures: DetectionFigures) -> dict[str, str]:
    """The figures of a model's card, by measure."""
    at = f"at threshold {figures.threshold:g}"
    return {
        f"WIDER val ({figures.pictures} pictures), AP at IoU 0.5, faces >= 20 px": (
            f"{figures.average_precision:.4f}"
        ),
        f"WIDER val, recall {at}": f"{figures.recall_at_threshold:.3f}",
        f"WIDER val, false alarms a picture {at}": f"{figures.false_alarms_at_threshold:.3f}",
        f"200 pictures without faces, alarms {at}": str(figures.alarms_without_faces),
        "MTFL testing (700), mean error of five points over the eye distance": (
            f"{100 * figures.points_error:.2f}%"
        ),
        "MTFL testing, the same less the labels' shift": f"{100 * figures.points_error_less_shift:.2f}%",
        "MTFL testing, faces not found": str(figures.points_missed),
    }


def plot(figures: list[DetectionFigures], path: Path) -> None:
    """Precision over recall of every detector, as a PNG."""
    from matplotlib.figure import Figure  # the environment of the benchmarks has no matplotlib

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for f in figures:
        axes.plot(*zip(*f.precision_recall, strict=True), label=f"{f.model}, AP {f.average_precision:.3f}")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.01))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
