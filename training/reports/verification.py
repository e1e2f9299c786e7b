"""Figures of one embedder: lines for the terminal, rows of the model card, and the ROC plot."""

import json
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from numpy import ndarray

from app.pipeline.calibration import Rate
from training.evaluation.calibrate import PopulationRates
from training.evaluation.rates import Rates
from training.evaluation.verification import VerificationFigures

CALIBRATED_FARS = (1e-2, 1e-3, 1e-4, 1e-5)
"""Calibrated false accept rates in the table of populations."""


def lines(figures: VerificationFigures, pairs_file: str) -> list[str]:
    """Return the lines for the terminal.

    Args:
        figures: the figures of the embedder.
        pairs_file: name of LFW's pairs file.
    """
    return [
        f"{figures.model} on LFW {pairs_file}: {figures.pairs} pairs, "
        f"{len(figures.undetected)} images without a detected face",
        f"  accuracy, 10 folds  {figures.accuracy:.4f} +- {figures.standard_error:.4f}",
        f"  mean threshold      {figures.threshold:.4f}",
        f"  AUC {figures.auc:.5f}, EER {figures.eer:.4f}",
        *(
            f"  FAR {c.far:<6g} threshold {c.threshold:.4f}  TAR {c.tar:.4f}  FRR {1 - c.tar:.4f}"
            for c in figures.at_far
        ),
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
        **{f"{pairs}, TAR at FAR {c.far:g}": f"{c.tar:.3f}" for c in figures.at_far},
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
            f"measured FAR {far_text(row.rates.far)}, {row.rates.far.value / row.calibrated_far:.2f} times  "
            f"TAR {tar_text(row.rates.tar)}"
            for row in rates.thresholds
        ),
        *(f"  TAR {tar:.4f} at a measured FAR of {far}" for far, tar in rates.tar_at_far.items()),
    ]


def far_text(rate: Rate) -> str:
    """Return a false accept rate with its 95% interval."""
    return f"{rate.value:.2e} ({rate.low:.2e} to {rate.high:.2e})"


def tar_text(rate: Rate) -> str:
    """Return a true accept rate with its 95% interval."""
    return f"{rate.value:.3f} ({rate.low:.3f} to {rate.high:.3f})"


def calibration_lines(model: str, populations: list[PopulationRates]) -> list[str]:
    """Return the lines of `evaluate calibrate` for the terminal: the rates of each population."""
    return [
        line
        for one in populations
        for line in (
            f"{model} on {one.name}: {one.people} people, {one.images} images with a face, {one.genuine} "
            f"genuine pairs, {one.impostors} impostor pairs",
            *(
                f"  calibrated FAR {far:<6g} measured FAR {far_text(measured.far)}  "
                f"TAR {tar_text(measured.tar)}  accepted: {measured.pairs_of_people} pairs of people"
                for far, measured in one.rates.items()
            ),
        )
    ]


def calibration_card_rows(populations: list[PopulationRates]) -> dict[str, str]:
    """Return the values of a model card by metric: the rates of each population at some thresholds."""
    return {
        f"calibration, {one.name}, {rate} at the threshold for FAR {far:g}": text
        for one in populations
        for far, measured in one.rates.items()
        if far in CALIBRATED_FARS
        for rate, text in (("FAR", far_text(measured.far)), ("TAR", tar_text(measured.tar)))
    }


def rate_card_rows(rates: Rates, people: str) -> dict[str, str]:
    """Return the values of a model card by metric; `people` names the set of people."""
    measured = {
        f"{people}, measured FAR at the threshold for FAR {row.calibrated_far:g}": far_text(row.rates.far)
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
