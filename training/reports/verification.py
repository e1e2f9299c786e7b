"""Figures of one embedder: lines for the terminal, rows of the model card, and the ROC plot."""

import json
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from numpy import ndarray

from training.evaluation.rates import Rates
from training.evaluation.verification import VerificationFigures


def lines(figures: VerificationFigures, pairs_file: str) -> list[str]:
    """Return the lines for the terminal.

    Args:
        figures: the figures of the embedder.
        pairs_file: name of LFW's pairs file.
    """
    curve = figures.probability
    return [
        f"{figures.model} on LFW {pairs_file}: {figures.pairs} pairs, "
        f"{len(figures.undetected)} images without a detected face",
        f"  accuracy, 10 folds  {figures.accuracy:.4f} +- {figures.standard_error:.4f}",
        f"  mean threshold      {figures.threshold:.4f}",
        f"  AUC {figures.auc:.5f}, EER {figures.eer:.4f}",
        *(
            f"  FAR {c.far:<6g} threshold {c.threshold:.4f}  TAR {c.tar:.4f}  FRR {1 - c.tar:.4f}"
            for c in figures.calibration
        ),
        *([] if curve is None else [f"  probability sigmoid({curve.slope:.3f} s {curve.offset:+.3f})"]),
        *(f"  undetected: {name}" for name in figures.undetected),
    ]


def card_rows(figures: VerificationFigures, pairs_file: str) -> dict[str, str]:
    """Return the values of a model card by metric.

    Args:
        figures: the figures of the embedder.
        pairs_file: name of LFW's pairs file.
    """
    pairs = "LFW View 1 pairsDevTest" if pairs_file == "pairsDevTest.txt" else f"LFW {pairs_file}"
    return {
        f"{pairs}, accuracy (10 folds)": f"{figures.accuracy:.4f} +- {figures.standard_error:.4f}",
        f"{pairs}, images without a detected face": str(len(figures.undetected)),
        f"{pairs}, AUC": f"{figures.auc:.5f}",
        f"{pairs}, EER": f"{figures.eer:.4f}",
        **{f"{pairs}, TAR at FAR {far}": f"{tar:.3f}" for far, tar in figures.tar_at_far.items()},
    }


def save(path: Path, figures: VerificationFigures, pairs_file: str) -> None:
    """Write the rows of the model card as JSON: for a training run, which has no card."""
    path.write_text(json.dumps(card_rows(figures, pairs_file), indent=2) + "\n")


def rate_lines(rates: Rates, model: str, people: str) -> list[str]:
    """Return the lines of `evaluate rates` for the terminal.

    Args:
        rates: the rates of the embedder.
        model: name of the embedder.
        people: name of the set of people.
    """
    return [
        f"{model} on {people}: {rates.people} people, {rates.genuine} genuine pairs, "
        f"{rates.impostors} impostor pairs, {len(rates.undetected)} images without a detected face",
        *(
            f"  calibrated FAR {row.calibrated_far:<6g} threshold {row.threshold:.4f}  "
            f"measured FAR {row.far:.2e} ({row.far / row.calibrated_far:.2f} times)  TAR {row.tar:.4f}"
            for row in rates.thresholds
        ),
        *(f"  TAR {tar:.4f} at a measured FAR of {far}" for far, tar in rates.tar_at_far.items()),
    ]


def rate_card_rows(rates: Rates, people: str) -> dict[str, str]:
    """Return the values of a model card by metric; `people` names the set of people."""
    measured = {
        f"{people}, measured FAR at the threshold for FAR {row.calibrated_far:g}": f"{row.far:.2e}"
        for row in rates.thresholds
    }
    return measured | {f"{people}, TAR at FAR {far}": f"{tar:.3f}" for far, tar in rates.tar_at_far.items()}


def plot(curves: Mapping[str, tuple[ndarray, ndarray]], path: Path, title: str) -> None:
    """Draw ROC curves as a PNG file: the whole range of TAR, and 0.9 to 1.

    Args:
        curves: false accept rates and true accept rates by model.
        path: the file.
        title: title of the plot.
    """
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    for axes, low in zip(figure.subplots(1, 2), (0.0, 0.9), strict=True):
        for name, (fars, tars) in curves.items():
            axes.step(fars, tars, where="post", label=name)
        axes.set(xscale="log", xlabel="false accept rate", ylabel="true accept rate")
        axes.set_xlim(1e-3, 1)
        axes.set_ylim(low, 1 + (1 - low) / 50)
        axes.grid(True, which="both", alpha=0.3)
    axes.legend(loc="lower right")
    figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
