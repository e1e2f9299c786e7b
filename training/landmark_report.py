"""Figures of a landmark net: tables of its errors, printed, kept as JSON, and put on its card."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy import ndarray

from app.runtime.model_store import read_manifest
from app.vision.points import COUNTS, REGIONS, Scheme
from training import cards, page
from training.landmark_errors import Found
from training.metrics import (
    MEASURES,
    Interval,
    interval,
    mean,
    nme,
    regional,
    rmse,
    squares,
    summary,
    to_kaggle,
)

DETECTED = "end to end, detected faces"
END_TO_END = "end to end"
GIVEN = "given boxes"
PREPARED = "as the net is validated"

EXPLAINED = {
    END_TO_END: "undetected faces as errors of 100%",
    GIVEN: "the labels', top raised by 15%",
    PREPARED: "crops of the prepared set, some by its labels",
}

MEASURE_NAMES = {
    "mean": "mean error over the outer-eye distance",
    "median": "median error",
    "share_above_10%": "share above 10%",
    "auc_at_10%": "AUC at 10%",
    "rmse": "RMSE in pixels of a 96x96 picture",
}
"""How the cards call a measure; a part of the face is called by its own name."""


@dataclass(frozen=True)
class Table:
    """One way of feeding the net, on one set of faces: figures by measure."""

    on: str
    scheme: Scheme
    fed: str
    figures: dict[str, Interval]

    @property
    def title(self) -> str:
        """Set, number of points, and the way of feeding."""
        return f"{self.on}, {COUNTS[self.scheme]} points, {self.fed}"

    def lines(self) -> list[str]:
        """For the terminal."""
        extra = f" ({EXPLAINED[self.fed]})" if self.fed in EXPLAINED else ""
        return [self.title + extra, *(f"  {name:16} {text(name, f)}" for name, f in self.figures.items())]

    def rows(self) -> dict[str, str]:
        """For the model's card, which does without what another table of it says nearly as well."""
        leave_out: tuple[str, ...] = ()
        if self.fed == DETECTED:
            leave_out = tuple(MEASURES)
        elif self.fed == GIVEN:
            leave_out = tuple(REGIONS[self.scheme])
        return {row_name(self.title, k): text(k, v) for k, v in self.figures.items() if k not in leave_out}

    def as_json(self) -> dict[str, object]:
        """For a file."""
        return {"title": self.title, "figures": {k: asdict(v) for k, v in self.figures.items()}}


_HEADS = {
    "mean": "mean",
    "median": "median",
    "share_above_10%": "above 10%",
    "auc_at_10%": "AUC at 10%",
    "rmse": "RMSE, px of 96",
}
"""And how the heads of comparing tables call it."""


def row_name(title: str, measure: str) -> str:
    """What a figure is called on a card."""
    return f"{title}: {MEASURE_NAMES.get(measure, f'mean error, {measure}')}"


def tables(found: Found, source: str) -> list[Table]:
    """Every table of a test set's answers: in the net's own points, and of 68 points also in Kaggle's 15."""
    on = f"{source} test ({len(found.names)} faces)"
    out = []
    for view in (found,) if found.scheme == "kaggle15" else (found, found.fifteen()):
        errors = np.ones(len(view.names), np.float32)
        errors[view.seen] = nme(view.detected[view.seen], view.truth[view.seen], view.scheme)
        if view.seen.any():
            out.append(Table(on, view.scheme, DETECTED, _figures(view.detected, view, view.seen)))
        out += [
            Table(on, view.scheme, END_TO_END, summary(errors)),
            Table(on, view.scheme, GIVEN, _figures(view.given, view, np.ones(len(errors), bool))),
        ]
    return out


def prepared_table(found: ndarray, truth: ndarray, scheme: Scheme, on: str) -> Table:
    """The table of a prepared set's faces (n, k, 2), in pixels of the pictures they came from."""
    figures = summary(nme(found, truth, scheme)) | _parts(found, truth, scheme)
    if scheme == "kaggle15":
        figures["rmse"] = interval(rmse, squares(found, truth))
    return Table(on, scheme, PREPARED, figures)


def _figures(points: ndarray, view: Found, chosen: ndarray) -> dict[str, Interval]:
    found, truth = points[chosen], view.truth[chosen]
    figures = summary(nme(found, truth, view.scheme)) | _parts(found, truth, view.scheme)
    if view.scheme == "kaggle15":
        scale = to_kaggle(truth)[:, None, None]
        figures["rmse"] = interval(rmse, squares(found * scale, truth * scale))
    return figures


def _parts(found: ndarray, truth: ndarray, scheme: Scheme) -> dict[str, Interval]:
    return {name: interval(mean, errors) for name, errors in regional(found, truth, scheme).items()}


def text(measure: str, figure: Interval) -> str:
    """A figure with its interval, in the unit of its measure."""
    scale, unit, digits = 100.0, "%", 2
    if measure == "auc_at_10%":
        scale, unit, digits = 1.0, "", 3
    elif measure == "rmse":
        scale, unit = 1.0, " px"
    value, low, high = (scale * v for v in (figure.value, figure.low, figure.high))
    return f"{value:.{digits}f}{unit} (95%: {low:.{digits}f} to {high:.{digits}f})"


def comparison(models: Path) -> str:
    """Every landmark model of the store side by side, from the figures recorded on 300-W's test set."""
    entries = [entry for entry in read_manifest(models).models if entry.task == "landmarks"]
    recorded = cards.recorded(models)
    whole = [(END_TO_END, measure) for measure in ("mean", "median", "share_above_10%", "auc_at_10%")]
    sections = []
    schemes: tuple[Scheme, ...] = ("ibug68", "kaggle15")
    for scheme in schemes:
        columns = [*whole, (GIVEN, "mean"), *((DETECTED, part) for part in REGIONS[scheme])]
        columns += [(DETECTED, "rmse")] if scheme == "kaggle15" else []
        rows = [
            [f"`{e.name}`", *(recorded_figure(recorded.get(e.name, {}), scheme, *c) for c in columns)]
            for e in entries
        ]
        rows = [row for row in rows if any(row[1:])]
        split = 1 + len(whole) + 1
        heads = ["model", *(_HEADS.get(measure, measure) for _, measure in columns)]
        heads[split - 1] = "mean, given boxes"
        sections += [
            f"**{COUNTS[scheme]} points.**",
            page.table(heads[:split], [row[:split] for row in rows]),
            "The mean error by part of the face, end to end, detected faces:",
            page.table(heads[:1] + heads[split:], [row[:1] + row[split:] for row in rows]),
        ]
    return "\n\n".join(sections)


def recorded_figure(rows: cards.Figures, scheme: Scheme, fed: str, measure: str) -> str:
    """A model's figure on 300-W's test set, with its interval; empty where it was not recorded."""
    ending = row_name(f", {COUNTS[scheme]} points, {fed}", measure)
    values = [row["value"] for k, row in rows.items() if k.startswith("300w test") and k.endswith(ending)]
    return values[0].replace("95%: ", "") if values else ""
