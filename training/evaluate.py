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

from app.pipeline.analyzer import Analyzer
from app.runtime import store
from training import cards, evaluate_detection, evaluate_verification, landmark_errors
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
    note: Annotated[bool, typer.Option("--record", help="put the figures on the model's card")] = False,
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
    if note and model is not None:
        command = f"python -m training.evaluate landmarks --data DATA --model {model}"
        _record_landmarks(models, model, f"{source} test ({len(errors.names)} faces)", tables, command)


@app.command()
def detection(
    data: Annotated[Path, typer.Option(help="the folder that holds `wider/`")],
    model: Annotated[str | None, typer.Option(help="a detector of the store, else the default")] = None,
    models: Annotated[Path, typer.Option(help="the model store")] = Path("models"),
    threads: Annotated[int, typer.Option(help="CPU threads, 0 for all")] = 0,
    note: Annotated[bool, typer.Option("--record", help="put the figures on the model's card")] = False,
) -> None:
    """WIDER FACE's validation pictures: average precision at IoU 0.5, faces 20 pixels tall or more."""
    analyzer = Analyzer(store.load(models, "cpu", threads=threads))
    name = model or analyzer.defaults.detect
    figures = evaluate_detection.measure(analyzer.detector(name), name, data / "wider")
    print(f"{name} on WIDER val: {figures.pictures} pictures, {figures.faces} faces of 20 px or more")
    print(f"  AP at IoU 0.5      {figures.average_precision:.4f}   (recall {figures.recall:.3f})")
    for band, value in figures.by_height.items():
        print(f"  AP, {band:12} px {value:.4f}")
    print(
        f"  at threshold {figures.threshold:g}: recall {figures.recall_at_threshold:.3f}, "
        f"{figures.false_alarms_at_threshold:.3f} false alarms a picture"
    )
    print("  ms a picture: " + ", ".join(f"{stage} {ms:.1f}" for stage, ms in figures.milliseconds.items()))
    if note:
        command = f"python -m training.evaluate detection --data DATA --model {name}"
        rows = {
            "WIDER val (132 pictures), AP at IoU 0.5, faces >= 20 px": f"{figures.average_precision:.4f}",
            f"WIDER val, recall at threshold {figures.threshold:g}": f"{figures.recall_at_threshold:.3f}",
            "WIDER val, false alarms a picture": f"{figures.false_alarms_at_threshold:.3f}",
        }
        for measure, figure in rows.items():
            cards.record(models, name, measure, figure, command)


@app.command()
def verification(
    data: Annotated[Path, typer.Option(help="the folder that holds `lfw/`")],
    model: Annotated[str | None, typer.Option(help="an embedder of the store, else the default")] = None,
    models: Annotated[Path, typer.Option(help="the model store")] = Path("models"),
    threads: Annotated[int, typer.Option(help="CPU threads, 0 for all")] = 0,
    pairs: Annotated[str, typer.Option(help="the pairs file in the LFW folder")] = "pairsDevTest.txt",
    note: Annotated[bool, typer.Option("--record", help="put the figures on the model's card")] = False,
    calibrate: Annotated[bool, typer.Option(help="keep the thresholds for the next `make models`")] = False,
) -> None:
    """LFW's pairs end to end: ten-fold accuracy, AUC, EER, TAR at FAR; an undetected face is an error."""
    analyzer = Analyzer(store.load(models, "cpu", threads=threads))
    name = model or analyzer.defaults.embed
    figures = evaluate_verification.measure(analyzer, name, data / "lfw", pairs)
    print(f"{name} on LFW {pairs}: {figures.pairs} pairs, {len(figures.undetected)} pictures without a face")
    print(f"  accuracy, 10 folds  {figures.accuracy:.4f} +- {figures.standard_error:.4f}")
    print(f"  mean threshold      {figures.threshold:.4f}")
    print(f"  AUC {figures.auc:.5f}, EER {figures.eer:.4f}")
    for row in figures.calibration:
        print(f"  FAR {row.far:<6g} threshold {row.threshold:.4f}  TAR {row.tar:.4f}")
    for missing in figures.undetected:
        print(f"  no face: {missing}")
    if note:
        command = f"python -m training.evaluate verification --data DATA --model {name}"
        accuracy = f"{figures.accuracy:.4f} +- {figures.standard_error:.4f}"
        cards.record(models, name, "LFW View 1 pairsDevTest, accuracy (10 folds)", accuracy, command)
        cards.record(
            models,
            name,
            "LFW View 1 pairsDevTest, pictures without a face",
            str(len(figures.undetected)),
            command,
        )
    if calibrate:
        evaluate_verification.keep_calibration(models, figures, pairs)


def _record_landmarks(
    models: Path, model: str, where: str, tables: dict[str, dict[str, Interval]], command: str
) -> None:
    _, end_to_end, given = tables.values()
    rows = {
        "mean error over the outer-eye distance, end to end": _line("mean", end_to_end["mean"]),
        "share above 10%, end to end": _line("share", end_to_end["share_above_10%"]),
        "AUC at 10%, end to end": _line("auc", end_to_end["auc_at_10%"]),
        "mean error, given boxes": _line("mean", given["mean"]),
    }
    for measure, figure in rows.items():
        cards.record(models, model, f"{where}, {measure}", " ".join(figure.split()), command)


def _filled(errors: ndarray) -> ndarray:
    return np.where(np.isnan(errors), np.float32(1.0), errors)


def _line(measure: str, figure: Interval) -> str:
    scale, unit = (1.0, " ") if measure.startswith("auc") else (100.0, "%")
    value, low, high = (scale * v for v in (figure.value, figure.low, figure.high))
    digits = 3 if scale == 1.0 else 2
    return f"{value:7.{digits}f}{unit}  (95%: {low:.{digits}f} to {high:.{digits}f})"


if __name__ == "__main__":
    app()
