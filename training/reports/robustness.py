"""Robustness of landmark nets: Markdown tables and a plot."""

from pathlib import Path

from matplotlib.figure import Figure

from training.evaluation.robustness import RobustnessCurve
from training.metrics.landmarks import Interval
from training.reports import markdown


def tables(curves: list[RobustnessCurve]) -> str:
    """Return a Markdown table for each degradation: NME with 95% intervals, and undetected faces."""
    return "\n\n".join(
        markdown.table(
            [curve.degradation.unit, "undetected", *curve.nme],
            [
                [f"{amount:g}", f"{100 * undetected:.1f}%", *(_cell(row[j]) for row in curve.nme.values())]
                for j, (amount, undetected) in enumerate(
                    zip(curve.degradation.amounts, curve.undetected, strict=True)
                )
            ],
            left=0,
        )
        for curve in curves
    )


def _cell(figure: Interval | None) -> str:
    if figure is None:
        return ""
    return f"{100 * figure.value:.2f}% ({100 * figure.low:.2f} to {100 * figure.high:.2f})"


def plot(curves: list[RobustnessCurve], path: Path) -> None:
    """Draw the curves as a PNG file: NME with intervals above, undetected faces below."""
    figure = Figure(figsize=(11, 5.5), layout="constrained")
    grid = figure.subplots(2, len(curves), height_ratios=(3, 1), sharex="col", squeeze=False)
    for column, curve in enumerate(curves):
        above, below = grid[:, column]
        for name, errors in curve.nme.items():
            known = [(a, e) for a, e in zip(curve.degradation.amounts, errors, strict=True) if e is not None]
            amounts = [a for a, _ in known]
            above.plot(amounts, [100 * e.value for _, e in known], "o-", markersize=3, label=name)
            low, high = [100 * e.low for _, e in known], [100 * e.high for _, e in known]
            above.fill_between(amounts, low, high, alpha=0.2)
        above.set(title=curve.degradation.name, ylim=(0, None))
        below.plot(
            curve.degradation.amounts, [100 * share for share in curve.undetected], "ko-", markersize=3
        )
        below.set(xlabel=curve.degradation.unit, ylim=(-5, 105))
        for axis in (above, below):
            axis.grid(alpha=0.3)
    grid[0, 0].set_ylabel("NME of detected faces, %")
    grid[1, 0].set_ylabel("undetected, %")
    grid[0, 0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
