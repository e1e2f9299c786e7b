"""Figures of the served system, measured through `app.pipeline`.

    python -m training.evaluate landmarks --data DATA --model cnn68

Each prints a table and writes the same as JSON.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from app.pipeline.analyzer import Analyzer
from app.pipeline.landmarks import Landmarker
from app.runtime import model_store
from app.runtime.model_store import LoadOptions
from training import (
    cards,
    damage,
    detection_report,
    evaluate_detection,
    evaluate_verification,
    landmark_errors,
    landmark_report,
    recognition_report,
)
from training.data.lfw import read_pairs
from training.data.people import read_people
from training.page import fill, measured

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
    prepared: Annotated[
        Path | None, typer.Option(help="a prepared set; its validation faces are measured too")
    ] = None,
    detector: Annotated[str | None, typer.Option(help="a detector of the store, else the default")] = None,
    out: Annotated[Path | None, typer.Option(help="where the JSON goes")] = None,
    note: Annotated[bool, typer.Option("--record", help="put the figures on the model's card")] = False,
) -> None:
    """68 or 15 points: error over the outer-eye distance, from our detector's boxes and from given ones."""
    if (run is None) == (model is None) or (note and model is None):
        sys.exit("give --model or --run; --record needs --model")
    session = landmark_errors.run_session(run) if run else landmark_errors.load_session(models, str(model))
    landmarker = Landmarker(session)
    samples = landmark_errors.samples_of(data, source, landmarker.scheme)
    if not samples:
        sys.exit(f"{source} has no test faces with labels for a net of scheme {landmarker.scheme}")
    found = landmark_errors.measure(samples, landmark_errors.load_detector(models, detector), landmarker)
    tables = landmark_report.tables(found, source)
    if prepared is not None:
        answers = landmark_errors.on_prepared(prepared / "validation.tfrecord", session)
        on = f"{prepared.name} validation ({len(answers[0])} faces)"
        tables.append(landmark_report.prepared_table(*answers, landmarker.scheme, on))
    undetected = [name for name, seen in zip(found.names, found.seen, strict=True) if not seen]
    for line in (line for table in tables for line in table.lines()):
        print(line)
    print(f"undetected: {len(undetected)} of {len(found.names)} {' '.join(undetected)}")
    out = out or (run / "landmarks.json" if run else Path("runs") / f"landmarks-{model}.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    report = {"model": model or str(run), "undetected": undetected, "tables": [t.as_json() for t in tables]}
    out.write_text(json.dumps(report, indent=2) + "\n")
    if note and model is not None:
        command = f"python -m training.evaluate landmarks --data DATA --model {model}"
        command += f" --source {source}" if source != "300w" else ""
        command += f" --prepared {prepared}" if prepared else ""
        command += f" --detector {detector}" if detector else ""
        rows = {name: value for table in tables for name, value in table.rows().items()}
        rows[f"{source} test ({len(found.names)} faces), undetected"] = str(len(undetected))
        cards.record(models, model, rows, command)


@app.command()
def compare(
    models: Annotated[Path, typer.Option(help="the model store")] = Path("models"),
    page: Annotated[Path, typer.Option(help="the page that is rewritten")] = Path("docs/landmarks.md"),
) -> None:
    """The recorded figures of all landmark models side by side, into the page that compares them."""
    fill(page, "figures", landmark_report.comparison(models))


@app.command()
def robustness(
    data: Annotated[Path, typer.Option(help="the folder that holds the datasets")],
    model: Annotated[list[str], typer.Option(help="a landmark model of the store; several may be named")],
    models: Annotated[Path, typer.Option(help="the model store")] = Path("models"),
    source: Annotated[str, typer.Option(help="the dataset whose test split is used")] = "300w",
    seed: int = 0,
    page: Annotated[Path, typer.Option(help="the page that is rewritten")] = Path("docs/landmarks.md"),
    out: Annotated[Path, typer.Option(help="the plot")] = Path("docs/images/landmarks-robustness.png"),
) -> None:
    """Error, end to end, against blur, turn and occlusion: a plot, and tables in the page."""
    sessions = [landmark_errors.load_session(models, name) for name in model]
    landmarkers = {name: Landmarker(session) for name, session in zip(model, sessions, strict=True)}
    samples = landmark_errors.samples_of(data, source, "ibug68")
    curves = damage.measure(samples, landmark_errors.load_detector(models), landmarkers, seed)
    damage.plot(curves, out)
    text = measured(damage.tables(curves))
    fill(page, "robustness", text)
    print(text)


@app.command()
def detection(
    data: Annotated[Path, typer.Option(help="the folder that holds `wider/` and `mtfl5/`")],
    model: Annotated[
        list[str] | None, typer.Option(help="detectors of the store, else the default; several may be named")
    ] = None,
    models: Annotated[Path, typer.Option(help="the model store")] = Path("models"),
    threads: Annotated[int, typer.Option(help="CPU threads, 0 for all")] = 0,
    out: Annotated[Path, typer.Option(help="the plot of precision over recall")] = Path("runs/detection.png"),
    note: Annotated[bool, typer.Option("--record", help="put the figures on the models' cards")] = False,
) -> None:
    """WIDER FACE's validation pictures, MTFL's five points, and pictures without faces."""
    analyzer = Analyzer(model_store.load(models, "cpu", options=LoadOptions(threads=threads)))
    figures = []
    for name in model or [analyzer.defaults["detect"]]:
        detector = analyzer.detector(name)
        finder = evaluate_detection.served(detector)
        figures.append(evaluate_detection.measure(finder, name, detector.spec.threshold, data))
        if note:
            command = f"python -m training.evaluate detection --data DATA --model {name}"
            cards.record(models, name, detection_report.rows(figures[-1]), command)
    print(detection_report.tables(figures))
    detection_report.plot(figures, out)


@app.command()
def curves(
    results: Annotated[Path, typer.Option(help="what benchmarks.detection wrote")] = Path(
        "benchmarks/results/detection.json"
    ),
    page: Annotated[Path, typer.Option(help="the page that is rewritten")] = Path("docs/detection.md"),
    out: Annotated[Path, typer.Option(help="the plot")] = Path("docs/images/detection.png"),
) -> None:
    """Precision over recall of the detectors that a benchmark measured: a plot, and tables in the page."""
    known = json.loads(results.read_text())
    figures = [evaluate_detection.DetectionFigures(**row) for row in known["rows"]]
    detection_report.plot(figures, out)
    fill(page, "figures", detection_report.tables(figures) + "\n\n" + known["note"])


@app.command()
def verification(
    data: Annotated[Path, typer.Option(help="the folder that holds `lfw/`")],
    model: Annotated[
        list[str] | None,
        typer.Option(help="an embedder of the store, else the default; several may be named"),
    ] = None,
    run: Annotated[
        list[Path] | None, typer.Option(help="a training run's folder; several may be named")
    ] = None,
    models: Annotated[Path, typer.Option(help="the model store")] = Path("models"),
    threads: Annotated[int, typer.Option(help="CPU threads, 0 for all")] = 0,
    detector: Annotated[str | None, typer.Option(help="a detector of the store, else the default")] = None,
    pairs: Annotated[str, typer.Option(help="the pairs file in the LFW folder")] = "pairsDevTest.txt",
    note: Annotated[bool, typer.Option("--record", help="put the figures on the models' cards")] = False,
    calibrate: Annotated[
        bool, typer.Option(help="keep thresholds and probability for the next `make models`")
    ] = False,
    roc: Annotated[Path | None, typer.Option(help="where the ROC curves go, as PNG")] = None,
) -> None:
    """LFW's pairs end to end: ten-fold accuracy, AUC, EER, TAR at FAR; an undetected face is an error."""
    analyzer = Analyzer(
        model_store.load(models, "cpu", options=LoadOptions(threads=threads)), {"detect": detector}
    )
    listed, curves = read_pairs(data / "lfw", pairs), {}
    located = evaluate_verification.located_pairs(analyzer, listed)
    for folder in run or []:
        figures = evaluate_verification.measure(evaluate_verification.embedder_of(folder), listed, located)
        curves[folder.name] = figures.curve
        (folder / "verification.json").write_text(json.dumps(figures.rows(pairs), indent=2) + "\n")
        print("\n".join(figures.lines(pairs)), flush=True)
    for name in model or ([] if run else [analyzer.defaults["embed"]]):
        figures = evaluate_verification.measure(analyzer.embedder(name), listed, located)
        curves[name] = figures.curve
        for line in figures.lines(pairs):
            print(line, flush=True)
        if note:
            command = f"python -m training.evaluate verification --data DATA --model {name}"
            command += f" --detector {detector}" if detector else ""
            cards.record(models, name, figures.rows(pairs), command)
        if calibrate:
            evaluate_verification.keep_calibration(models, figures, pairs)
    if roc is not None:
        evaluate_verification.plot(curves, roc, f"LFW {pairs}, end to end")


@app.command()
def recognition(
    models: Annotated[Path, typer.Option(help="the model store")] = Path("models"),
    page: Annotated[Path, typer.Option(help="the page that is rewritten")] = Path("docs/recognition.md"),
) -> None:
    """The recorded figures and calibrated thresholds of all embedders, into the page that compares them."""
    fill(page, "figures", recognition_report.figures(models))
    fill(page, "thresholds", recognition_report.thresholds(models))
    fill(page, "mining", recognition_report.mining(Path("training/records")))


@app.command()
def rates(
    source: Annotated[
        list[str], typer.Option(help="folders:DIR, celeba:DIR or lfw:DIR; several may be named")
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(help="an embedder of the store, else the default; several may be named"),
    ] = None,
    models: Annotated[Path, typer.Option(help="the model store")] = Path("models"),
    threads: Annotated[int, typer.Option(help="CPU threads, 0 for all")] = 0,
    most: Annotated[int, typer.Option(help="pictures of a person")] = 8,
    note: Annotated[bool, typer.Option("--record", help="put the figures on the models' cards")] = False,
) -> None:
    """Whether the promised false accept rates hold on other people: every pair of their pictures."""
    analyzer = Analyzer(model_store.load(models, "cpu", options=LoadOptions(threads=threads)))
    pictures = evaluate_verification.at_most(read_people(source), most)
    located = evaluate_verification.locate(analyzer, [p.path for p in pictures], [p.person for p in pictures])
    sets = " and ".join(Path(one.partition(":")[2]).name for one in source)
    for name in model or [analyzer.defaults["embed"]]:
        figures = evaluate_verification.measure_rates(analyzer.embedder(name), located)
        for line in figures.lines(name, sets):
            print(line, flush=True)
        if note:
            named = [(one.partition(":")[0], Path(one.partition(":")[2]).name) for one in source]
            places = " ".join(f"--source {kind}:DATA/identities/{folder}" for kind, folder in named)
            command = f"python -m training.evaluate rates {places} --model {name} --most {most}"
            cards.record(models, name, figures.on_card(sets), command)


if __name__ == "__main__":
    app()
