"""Figures of detectors: Markdown tables, rows of the model card, and the precision-recall plot."""

from collections.abc import Callable
from pathlib import Path

from training.evaluation.detection import BOXES_PER_IMAGE, HEIGHT_BANDS, DetectionFigures
from training.reports.markdown import table


def tables(figures: list[DetectionFigures]) -> str:
    """Return Markdown tables with one row per detector."""
    first = figures[0]
    bands = {
        f"{low}-{high}": f"AP, {low} px or more" if high > 10_000 else f"AP, {low} to {high} px"
        for low, high in HEIGHT_BANDS
    }
    at_threshold = [
        "at the default threshold",
        "threshold",
        "recall",
        "false positives per image",
        "false positives on 200 images without faces",
    ]
    five_points = [
        "five points, MTFL testing (700)",
        "NME by interocular distance",
        "NME with the labels' shift removed",
        "median offset from the labels, x, y (px)",
        "undetected faces",
    ]
    return "\n\n".join(
        [
            f"WIDER FACE validation, {first.images} images, {first.faces} faces of 20 px or more, IoU 0.5.",
            _table(
                ["detector", "AP", *bands.values()],
                figures,
                lambda f: [f"{f.average_precision:.4f}", *(f"{f.ap_by_height[band]:.4f}" for band in bands)],
            ),
            _table(
                ["recall with at most n boxes per image", *(str(n) for n in BOXES_PER_IMAGE), "all"],
                figures,
                lambda f: [*(f"{f.recall_by_boxes[str(n)]:.3f}" for n in BOXES_PER_IMAGE), f"{f.recall:.3f}"],
            ),
            _table(
                at_threshold,
                figures,
                lambda f: [
                    f"{f.threshold:g}",
                    f"{f.recall_at_threshold:.3f}",
                    f"{f.false_positives_per_image:.3f}",
                    str(f.false_positives_without_faces),
                ],
            ),
            _table(
                five_points,
                figures,
                lambda f: [
                    f"{100 * f.points_nme:.2f}%",
                    f"{100 * f.points_nme_without_shift:.2f}%",
                    f"{f.points_shift[0]:.1f}, {f.points_shift[1]:.1f}",
                    str(f.points_undetected),
                ],
            ),
        ]
    )


def _table(
    head: list[str], figures: list[DetectionFigures], cells: Callable[[DetectionFigures], list[str]]
) -> str:
    return table(head, [[f.model, *cells(f)] for f in figures])


def card_rows(figures: DetectionFigures) -> dict[str, str]:
    """Return the values of a model card by metric."""
    threshold = f"at threshold {figures.threshold:g}"
    ap = f"WIDER val ({figures.images} images), AP at IoU 0.5, faces >= 20 px"
    nme = "five-point NME by interocular distance"
    return {
        ap: f"{figures.average_precision:.4f}",
        f"WIDER val, recall {threshold}": f"{figures.recall_at_threshold:.3f}",
        f"WIDER val, false positives per image {threshold}": f"{figures.false_positives_per_image:.3f}",
        f"200 images without faces, false positives {threshold}": str(figures.false_positives_without_faces),
        f"MTFL testing (700), {nme}": f"{100 * figures.points_nme:.2f}%",
        f"MTFL testing, {nme}, labels' shift removed": f"{100 * figures.points_nme_without_shift:.2f}%",
        "MTFL testing, undetected faces": str(figures.points_undetected),
    }


def plot(figures: list[DetectionFigures], path: Path) -> None:
    """Draw the precision-recall curves of the detectors as a PNG file."""
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
