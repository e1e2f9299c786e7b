"""Figures of the served system, measured through `app.pipeline`.

    python -m training.evaluate landmarks --data DATA --model cnn68

Each prints a table and writes the same as JSON.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy import ndarray

from training import landmark_errors
from training.metrics import Interval, summary

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def evaluate() -> None:
    """Measures a model on a held-out set, end to end."""


@app.command()
def landmarks(
    data: Annotated[Path, typer.Option(help="the folder that holds the datasets")],
    model: Annotated[str | None, typer.Option(help="a landmark model of the store")] = None,
    run: Annotated[Path | None, typer.Option(help="a training run's folder, in place of a model")] = None,
    models: Annotated[Path, typer.Option(help="the model store")] = Path("models"),
    source: Annotated[str, typer.Option(help="the dataset whose test split is used")] = "300w",
    out: Annotated[Path | None, typer.Option(help="where the JSON goes")] = None,
) -> None:
    """68 points: error over the outer-eye distance, from our detector's boxes and from given ones."""
    detector = landmark_errors.load_detector(models)
    if run is not None:
        landmarker = landmark_errors.of_run(run)
    elif model is not None:
        landmarker = landmark_errors.load_landmarker(models, model)
    else:
        sys.exit("give --model or --run")
    errors = landmark_errors.measure(data, source, detector, landmarker)
    tables = {
        "end to end, detected faces": summary(errors.detected[np.isfinite(errors.detected)]),
        "end to end, undetected faces as errors of 100%": summary(_filled(errors.detected)),
        "given boxes (the labels', top raised by 15%)": summary(errors.given),
    }
    name = model or str(run)
    undetected = int(np.isnan(errors.detected).sum())
    print(f"{name} on {source} test: {len(errors.detected)} faces, {undetected} undetected")
    for title, table in tables.items():
        print(f"\n{title}")
        for measure, figure in table.items():
            print(f"  {measure:16} {_line(measure, figure)}")
    report = {
        "model": name,
        "source": source,
        "faces": len(errors.detected),
        "undetected": [n for n, e in zip(errors.names, errors.detected, strict=True) if np.isnan(e)],
        "tables": {title: {k: asdict(v) for k, v in table.items()} for title, table in tables.items()},
    }
    out = out or (run / "landmarks.json" if run else Path("runs") / f"landmarks-{model}.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=2) + "\n")


def _filled(errors: ndarray) -> ndarray:
    return np.where(np.isnan(errors), np.float32(1.0), errors)


def _line(measure: str, figure: Interval) -> str:
    scale, unit = (1.0, " ") if measure.startswith("auc") else (100.0, "%")
    value, low, high = (scale * v for v in (figure.value, figure.low, figure.high))
    digits = 3 if scale == 1.0 else 2
    return f"{value:7.{digits}f}{unit}  (95%: {low:.{digits}f} to {high:.{digits}f})"


if __name__ == "__main__":
    app()
