"""Curves of a measurement: the table, the plot, and the line that fits them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from training.reports.markdown import table as markdown_table


@dataclass(frozen=True)
class Curve:
    """Measurements by one quantity.

    Attributes:
        name: name of the plot and of the table.
        x_label: what was varied, with its unit.
        x: its values.
        panels: the measured series by title, by the label of the axis on which they are drawn.
        columns: further columns of the table, which are not drawn.
        text: what follows from the figures.
    """

    name: str
    x_label: str
    x: Sequence[float]
    panels: Mapping[str, Mapping[str, Sequence[float]]]
    columns: Mapping[str, Sequence[float]] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True)
class Line:
    """A straight line that fits a series.

    Attributes:
        constant: value at 0.
        slope: increase per unit.
        error: mean distance of the points from the line, as a share of their values.
    """

    constant: float
    slope: float
    error: float


def fit(x: Sequence[float], y: Sequence[float]) -> Line:
    """Return the line with the least squared relative errors, because the error of a time grows with it.

    Args:
        x: at least two different values.
        y: the measured values, all greater than 0.
    """
    at, value = np.asarray(x, float), np.asarray(y, float)
    slope, constant = np.polyfit(at, value, 1, w=1 / value)
    error = np.abs(constant + slope * at - value) / value
    return Line(float(constant), float(slope), float(error.mean()))


def table(curve: Curve) -> str:
    """Return a Markdown table with a row per value, and a column per further column and per series."""
    series = {
        label if len(by_title) == 1 else f"{label}: {title}": values
        for label, by_title in curve.panels.items()
        for title, values in by_title.items()
    }
    columns = [*curve.columns.items(), *series.items()]
    rows = [[f"{x:g}", *(number(values[i]) for _, values in columns)] for i, x in enumerate(curve.x)]
    return markdown_table([curve.x_label, *(title for title, _ in columns)], rows, left=0)


def number(value: float) -> str:
    """Return a number with three significant digits; an integer keeps all its digits."""
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def plot(curve: Curve, path: Path) -> None:
    """Draw a curve as a PNG file, with an axis per panel."""
    from matplotlib.figure import Figure  # the environment of the benchmarks has no matplotlib

    figure = Figure(figsize=(4.6 * max(1.4, len(curve.panels)), 3.6), layout="constrained")
    for place, (label, series) in enumerate(curve.panels.items(), 1):
        axes = figure.add_subplot(1, len(curve.panels), place)
        for title, values in series.items():
            axes.plot(curve.x, values, marker="o", markersize=3, label=title)
        axes.set(xlabel=curve.x_label, ylabel=label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        if len(series) > 1:
            axes.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
