"""Figures of landmark nets: tables for the terminal, JSON, the model card, and the comparison of all nets."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

from app.runtime.manifest import read_manifest
from app.vision.points import COUNTS, REGIONS, Scheme
from training.evaluation.landmarks import Predictions
from training.metrics.landmarks import (
    MEASURES,
    Interval,
    bootstrap,
    kaggle_scale,
    mean,
    nme,
    nme_by_region,
    rmse,
    squared_errors,
    summary,
)
from training.reports import markdown, model_cards

DETECTED = "end to end, detected faces"
END_TO_END = "end to end"
GROUND_TRUTH = "ground-truth boxes"
PREPARED = "prepared crops"

EXPLANATIONS = {
    END_TO_END: "an undetected face has an error of 100%",
    GROUND_TRUTH: "boxes of the labels, the top raised by 15%",
    PREPARED: "as in the validation of training",
}

MEASURE_NAMES = {
    "nme": "NME",
    "median_nme": "median NME",
    "failure_rate": "failure rate at 10%",
    "auc": "AUC at 10%",
    "rmse": "RMSE in pixels of a 96x96 image",
}
"""The names of the measures; every other measure is the NME of a region of the face."""


def measure_name(measure: str) -> str:
    """Return the name of a measure on cards and in tables."""
    return MEASURE_NAMES.get(measure, f"NME, {measure}")


def row_name(title: str, measure: str) -> str:
    """Return the name of a figure on a model card."""
    return f"{title}: {measure_name(measure)}"


def text(measure: str, figure: Interval) -> str:
    """Return a figure with its interval, in the unit of its measure."""
    scale, unit, digits = 100.0, "%", 2
    if measure == "auc":
        scale, unit, digits = 1.0, "", 3
    elif measure == "rmse":
        scale, unit = 1.0, " px"
    value, low, high = (scale * v for v in (figure.value, figure.low, figure.high))
    return f"{value:.{digits}f}{unit} (95%: {low:.{digits}f} to {high:.{digits}f})"


@dataclass(frozen=True)
class Table:
    """The figures on one set of faces with one kind of input.

    Attributes:
        faces: name of the set and number of its faces.
        scheme: the points.
        input: kind of input: `DETECTED`, `END_TO_END`, `GROUND_TRUTH` or `PREPARED`.
        figures: figures by measure.
    """

    faces: str
    scheme: Scheme
    input: str
    figures: dict[str, Interval]

    @property
    def title(self) -> str:
        """The set, the number of points, and the kind of input."""
        return f"{self.faces}, {COUNTS[self.scheme]} points, {self.input}"

    def lines(self) -> list[str]:
        """Return the lines for the terminal."""
        extra = f" ({EXPLANATIONS[self.input]})" if self.input in EXPLANATIONS else ""
        return [
            self.title + extra,
            *(f"  {measure_name(name):32} {text(name, f)}" for name, f in self.figures.items()),
        ]

    def card_rows(self) -> dict[str, str]:
        """Return the values of the model card by metric, without those that other tables nearly repeat."""
        left_out: tuple[str, ...] = ()
        if self.input == DETECTED:
            left_out = tuple(MEASURES)
        elif self.input == GROUND_TRUTH:
            left_out = tuple(REGIONS[self.scheme])
        return {row_name(self.title, k): text(k, v) for k, v in self.figures.items() if k not in left_out}

    def as_json(self) -> dict[str, object]:
        """Return the table for a JSON file."""
        return {"title": self.title, "figures": {k: asdict(v) for k, v in self.figures.items()}}


def tables(predictions: Predictions, source: str) -> list[Table]:
    """Return the tables of a test set, in the points of the net and, for 68 points, in Kaggle's 15.

    Args:
        predictions: the predictions of the net.
        source: name of the dataset.
    """
    faces = f"{source} test ({len(predictions.names)} faces)"
    views = [predictions]
    if predictions.scheme != "kaggle15":
        views.append(predictions.in_kaggle15())
    result = []
    for view in views:
        detected, everywhere = view.detected, np.ones(len(view.names), bool)
        errors = np.ones(len(view.names), np.float32)
        errors[detected] = nme(view.end_to_end[detected], view.labels[detected], view.scheme)
        if detected.any():
            result.append(Table(faces, view.scheme, DETECTED, _figures(view, view.end_to_end, detected)))
        result += [
            Table(faces, view.scheme, END_TO_END, summary(errors)),
            Table(faces, view.scheme, GROUND_TRUTH, _figures(view, view.ground_truth, everywhere)),
        ]
    return result


def prepared_table(
    predicted: Float32[ndarray, "n k 2"], labels: Float32[ndarray, "n k 2"], scheme: Scheme, faces: str
) -> Table:
    """Return the table of a prepared set.

    Args:
        predicted: predicted points in pixels of the images.
        labels: labelled points; NaN without a label.
        scheme: the points.
        faces: name of the set and number of its faces.
    """
    figures = summary(nme(predicted, labels, scheme)) | _regions(predicted, labels, scheme)
    if scheme == "kaggle15":
        figures["rmse"] = bootstrap(rmse, squared_errors(predicted, labels))
    return Table(faces, scheme, PREPARED, figures)


def lines(tables: list[Table], predictions: Predictions) -> list[str]:
    """Return the lines for the terminal: those of all tables, and the undetected faces."""
    undetected = predictions.undetected
    last = f"undetected: {len(undetected)} of {len(predictions.names)} {' '.join(undetected)}"
    return [*(line for table in tables for line in table.lines()), last]


def save(path: Path, model: str, tables: list[Table], predictions: Predictions) -> None:
    """Write the tables and the names of the undetected faces as JSON."""
    report = {"model": model, "undetected": predictions.undetected, "tables": [t.as_json() for t in tables]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")


def card_rows(tables: list[Table], predictions: Predictions, source: str) -> dict[str, str]:
    """Return the values of a model card by metric: those of all tables, and the undetected faces."""
    rows = {name: value for table in tables for name, value in table.card_rows().items()}
    rows[f"{source} test ({len(predictions.names)} faces), undetected"] = str(len(predictions.undetected))
    return rows


def _figures(
    view: Predictions, points: Float32[ndarray, "n k 2"], faces: Bool[ndarray, " n"]
) -> dict[str, Interval]:
    predicted, labels = points[faces], view.labels[faces]
    figures = summary(nme(predicted, labels, view.scheme)) | _regions(predicted, labels, view.scheme)
    if view.scheme == "kaggle15":
        scale = kaggle_scale(labels)[:, None, None]
        figures["rmse"] = bootstrap(rmse, squared_errors(predicted * scale, labels * scale))
    return figures


def _regions(predicted: ndarray, labels: ndarray, scheme: Scheme) -> dict[str, Interval]:
    return {name: bootstrap(mean, e) for name, e in nme_by_region(predicted, labels, scheme).items()}


def comparison(models: Path) -> str:
    """Return Markdown tables of all landmark nets of a store, as recorded on 300-W's test set."""
    recorded = model_cards.recorded(models)
    names = [entry.name for entry in read_manifest(models).models if entry.task == "landmarks"]
    whole = {measure_name(measure): (END_TO_END, measure) for measure in MEASURES}
    whole[f"NME, {GROUND_TRUTH}"] = (GROUND_TRUTH, "nme")
    sections = []
    schemes: tuple[Scheme, ...] = ("ibug68", "kaggle15")
    for scheme in schemes:
        regions = {region: (DETECTED, region) for region in REGIONS[scheme]}
        if scheme == "kaggle15":
            regions["RMSE (px at 96x96)"] = (DETECTED, "rmse")
        tables = []
        for columns in (whole, regions):
            rows = [
                [recorded_figure(recorded.get(name, {}), scheme, *column) for column in columns.values()]
                for name in names
            ]
            named = [[f"`{name}`", *row] for name, row in zip(names, rows, strict=True) if any(row)]
            tables.append(markdown.table(["model", *columns], named))
        heading = f"**{COUNTS[scheme]} points.**"
        sections += [heading, tables[0], f"NME by region of the face, {DETECTED}:", tables[1]]
    return "\n\n".join(sections)


def recorded_figure(rows: model_cards.Figures, scheme: Scheme, input: str, measure: str) -> str:
    """Return a recorded figure of a model on 300-W's test set with its interval; empty if there is none."""
    ending = row_name(f", {COUNTS[scheme]} points, {input}", measure)
    values = [row["value"] for k, row in rows.items() if k.startswith("300w test") and k.endswith(ending)]
    return values[0].replace("95%: ", "") if values else ""
