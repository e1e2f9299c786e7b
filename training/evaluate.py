"""Measure models of the store or training runs with the code of the service (`app.pipeline`).

    python -m training.evaluate detection --data DATA --model cascade
    python -m training.evaluate landmarks --data DATA --model cnn68
    python -m training.evaluate verification --data DATA --model fused

Each subcommand prints its figures; `--record` puts them on the model card. `detection-tables`,
`landmark-tables` and `recognition-tables` write the tables of the documentation from recorded figures.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from app.pipeline.analyzer import Analyzer
from app.pipeline.landmarks import landmarker_of
from app.runtime import model_store
from app.runtime.manifest import models_for
from app.runtime.model_store import LoadOptions
from app.runtime.precision import PrecisionSetting
from app.vision.spec import Task
from training.data.datasets.identities import IdentityImage, read_people
from training.data.datasets.lfw import read_pairs
from training.evaluation import calibrate as calibration_evaluation
from training.evaluation import detection as detection_evaluation
from training.evaluation import face_vectors
from training.evaluation import landmarks as landmark_evaluation
from training.evaluation import rates as rate_evaluation
from training.evaluation import robustness as robustness_evaluation
from training.evaluation import verification as verification_evaluation
from training.evaluation.model_folders import folders_of, home_of
from training.evaluation.own_people import known_people, of_known_names, people_of_model
from training.evaluation.populations import pairs_of, read_populations
from training.evaluation.user_errors import UserError, one_line_errors
from training.exporting.model_registry import TRAINED_EMBEDDERS
from training.reports import detection as detection_report
from training.reports import landmarks as landmark_report
from training.reports import model_cards, pages
from training.reports import robustness as robustness_report
from training.reports import verification as verification_report
from training.reports.markdown import dated, fill
from training.reports.pages import Page, Plot

Data = Annotated[Path, typer.Option(exists=True, file_okay=False, help="The folder that holds the datasets.")]
Detector = Annotated[str | None, typer.Option(help="Detector of the store; else the default.")]
Embedders = Annotated[
    list[str] | None, typer.Option(help="Embedder of the store; else the default. May be repeated.")
]
Models = Annotated[Path, typer.Option(help="Model folder, or several, separated as in PATH.")]
Record = Annotated[bool, typer.Option("--record", help="Put the figures on the model card.")]
Source = Annotated[str, typer.Option(help="The dataset whose test split is used: 300w.")]
Need = tuple[Task, str | None]
"""A task and the name of a model; None is the default model."""

Precision = Annotated[PrecisionSetting, typer.Option(help="Precision of the embedders: float, int8 or auto.")]
Threads = Annotated[int, typer.Option(help="Number of CPU threads; 0 uses all cores.")]

_WITHOUT_EFFECT = ("record", "out", "roc", "cache", "threads")
"""Options that change no figure. A recorded command does not have them."""

app = typer.Typer(add_completion=False, no_args_is_help=True)
app.command("detection-tables")(pages.detection_tables)
app.command("landmark-tables")(pages.landmark_tables)
app.command("recognition-tables")(pages.recognition_tables)


@app.callback()
def evaluate() -> None:
    """Measure a model on a test set, end to end."""


@app.command()
def landmarks(
    context: typer.Context,
    data: Data,
    model: Annotated[str | None, typer.Option(help="Landmark net of the store.")] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of a training run, instead of a model.")] = None,
    models: Models = Path("models"),
    source: Source = "300w",
    prepared: Annotated[
        Path | None, typer.Option(help="A prepared set, whose validation faces are measured too.")
    ] = None,
    detector: Detector = None,
    out: Annotated[Path | None, typer.Option(help="The JSON file to write.")] = None,
    record: Record = False,
) -> None:
    """Measure a landmark net: NME end to end and from ground-truth boxes, for 68 and 15 points."""
    session = landmark_evaluation.open_session(models, model, run)
    _check_recordable(record, model is not None)
    landmarker = landmarker_of(session)
    samples = landmark_evaluation.read_test_samples(data, source, landmarker.scheme)
    predictions = landmark_evaluation.measure(
        samples, landmark_evaluation.load_detector(models, detector), landmarker
    )
    tables = landmark_report.tables(predictions, source)
    if prepared is not None:
        points = landmark_evaluation.predict_prepared(prepared / "validation.tfrecord", session)
        faces = f"{prepared.name} validation ({len(points[0])} faces)"
        tables.append(landmark_report.prepared_table(*points, landmarker.scheme, faces))
    print("\n".join(landmark_report.lines(tables, predictions)))
    out = out or (run / "landmarks.json" if run else Path("runs") / f"landmarks-{model}.json")
    landmark_report.save(out, model or str(run), tables, predictions)
    if record and model is not None:
        rows = landmark_report.card_rows(tables, predictions, source)
        model_cards.record(home_of(models, model), model, rows, command_of(context))


@app.command()
def robustness(
    data: Data,
    model: Annotated[list[str], typer.Option(help="Landmark net of the store. May be repeated.")],
    models: Models = Path("models"),
    source: Source = "300w",
    seed: int = 0,
    page: Page = pages.LANDMARK_PAGE,
    out: Plot = Path("docs/images/landmarks-robustness.png"),
) -> None:
    """Measure landmark nets on blurred, rotated and occluded images; write tables and a plot."""
    sessions = [landmark_evaluation.load_session(models, name) for name in model]
    landmarkers = {name: landmarker_of(session) for name, session in zip(model, sessions, strict=True)}
    samples = landmark_evaluation.read_test_samples(data, source, "ibug68")
    curves = robustness_evaluation.measure(
        samples, landmark_evaluation.load_detector(models), landmarkers, seed
    )
    robustness_report.plot(curves, out)
    text = dated(robustness_report.tables(curves))
    fill(page, "robustness", text)
    print(text)


@app.command()
def detection(
    context: typer.Context,
    data: Data,
    model: Annotated[
        list[str] | None, typer.Option(help="Detector of the store; else the default. May be repeated.")
    ] = None,
    models: Models = Path("models"),
    threads: Threads = 0,
    out: Plot = Path("runs/detection.png"),
    record: Record = False,
) -> None:
    """Measure detectors on WIDER FACE, on MTFL's five points, and on images without faces."""
    analyzer = _analyzer(models, threads, [("detect", name) for name in model or (None,)])
    figures = []
    for name in model or [analyzer.defaults["detect"]]:
        detector = analyzer.detector(name)
        detect = detection_evaluation.detect_function(detector)
        figures.append(detection_evaluation.measure(detect, name, detector.spec.threshold, data))
        if record:
            rows = detection_report.card_rows(figures[-1])
            model_cards.record(home_of(models, name), name, rows, command_of(context, model=name))
    print(detection_report.tables(figures))
    detection_report.plot(figures, out)


@app.command()
def verification(
    context: typer.Context,
    data: Data,
    model: Embedders = None,
    run: Annotated[list[Path] | None, typer.Option(help="Folder of a training run. May be repeated.")] = None,
    models: Models = Path("models"),
    threads: Threads = 0,
    precision: Precision = "float",
    detector: Detector = None,
    pairs: Annotated[str, typer.Option(help="The pairs file in the folder lfw.")] = "pairsDevTest.txt",
    record: Record = False,
    roc: Annotated[Path | None, typer.Option(help="The PNG file of the ROC curves.")] = None,
) -> None:
    """Measure embedders on LFW's pairs: accuracy, AUC, EER, TAR at FAR."""
    names: list[str | None] = [*model] if model else [] if run else [None]
    _check_recordable(record, bool(names))
    needed: list[Need] = [("detect", detector), *(("embed", name) for name in names)]
    analyzer = _analyzer(models, threads, needed, precision)
    listed, curves = read_pairs(data / "lfw", pairs), {}
    run_embedders = [face_vectors.embedder_of(folder) for folder in run or []]
    faces = verification_evaluation.locate_pairs(analyzer, listed)
    for folder, embedder in zip(run or [], run_embedders, strict=True):
        figures = verification_evaluation.measure(analyzer, embedder, listed, faces)
        curves[folder.name] = figures.curve
        print("\n".join(verification_report.lines(figures, pairs)), flush=True)
        verification_report.save(folder / "verification.json", figures, pairs)
    for name in (name or analyzer.defaults["embed"] for name in names):
        figures = verification_evaluation.measure(analyzer, analyzer.embedder(name), listed, faces)
        curves[name] = figures.curve
        print("\n".join(verification_report.lines(figures, pairs)), flush=True)
        if record:
            rows = verification_report.card_rows(figures, pairs)
            model_cards.record(home_of(models, name), name, rows, command_of(context, model=name, run=None))
    if roc is not None:
        verification_report.plot(curves, roc, f"LFW {pairs}, end to end")


@app.command()
def calibrate(
    context: typer.Context,
    data: Data,
    model: Embedders = None,
    models: Models = Path("models"),
    threads: Threads = 0,
    cache: Annotated[Path, typer.Option(help="The folder of kept vectors.")] = Path("cache/vectors"),
    record: Record = False,
) -> None:
    """Calibrate embedders on several populations, for the next export of the models."""
    analyzer = _analyzer(models, threads, [("detect", None), *(("embed", name) for name in model or (None,))])
    populations = read_populations(data)
    for name in model or [analyzer.defaults["embed"]]:
        # The nets that are trained here know the people of the others.
        suitable = populations[:1] if name in TRAINED_EMBEDDERS else populations
        pairs = {one.name: pairs_of(analyzer, name, one, cache) for one in suitable}
        calibration, figures = calibration_evaluation.calibrate(analyzer.embedder(name).spec, pairs)
        calibration_evaluation.keep_calibration(home_of(models, name), name, calibration)
        print("\n".join(verification_report.calibration_lines(name, figures)), flush=True)
        if record:
            rows = verification_report.calibration_card_rows(figures)
            model_cards.record(home_of(models, name), name, rows, command_of(context, model=name))


@app.command()
def rates(
    context: typer.Context,
    source: Annotated[list[str], typer.Option(help="folders:DIR, celeba:DIR or lfw:DIR. May be repeated.")],
    model: Embedders = None,
    models: Models = Path("models"),
    threads: Threads = 0,
    precision: Precision = "float",
    run: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of a run whose people are left out too. May be repeated."),
    ] = None,
    most: Annotated[int, typer.Option(help="Maximum number of images per person.")] = 8,
    record: Record = False,
) -> None:
    """Measure the calibrated thresholds on other people: FAR and TAR over all pairs of their images.

    People who took part in the training of a model are left out. Those of `--run` are recognised by the names
    of their folders.

    Raises:
        UserError: fewer than two people are left.
        RunError: a run does not record its people.
    """
    known = frozenset[str]().union(*(known_people(folder) for folder in run or []))
    needed: list[Need] = [("detect", None), *(("embed", name) for name in model or (None,))]
    analyzer = _analyzer(models, threads, needed, precision)
    images = rate_evaluation.limit_per_person(_read_people(source), most)
    located = face_vectors.locate(analyzer, [i.path for i in images], [i.person for i in images])
    people = " and ".join(Path(one.partition(":")[2]).name for one in source)
    for name in model or [analyzer.defaults["embed"]]:
        everyone = {image.person for image in images}
        own = everyone & people_of_model(name) | of_known_names(everyone, known)
        faces = located.without(own)
        if left_out := len(own):
            print(f"{left_out} people took part in the training of {name}. They are left out.")
        if len(set(faces.people)) < 2:
            raise UserError(f"{people}: fewer than two people did not take part in the training of {name}.")
        figures = rate_evaluation.measure_rates(analyzer, analyzer.embedder(name), faces)
        print("\n".join(verification_report.rate_lines(figures, name, people)), flush=True)
        if record:
            rows = verification_report.rate_card_rows(figures, people)
            model_cards.record(home_of(models, name), name, rows, command_of(context, model=name))


def command_of(context: typer.Context, **shown: object) -> str:
    """Return the running command as it is recorded, with the options that are not their defaults.

    Args:
        context: the context of the subcommand.
        shown: values of options in place of the given ones; None leaves an option out.
    """
    values = {**context.params, "data": "DATA", **shown, **dict.fromkeys(_WITHOUT_EFFECT)}
    words = ["python", "-m", "training.evaluate", str(context.info_name)]
    for option in context.command.params:
        value = values[str(option.name)]
        if value is None or value == option.get_default(context):
            continue
        for one in value if isinstance(value, list | tuple) else [value]:
            words += [option.opts[0], str(one)]
    return shlex.join(words)


def _analyzer(
    models: Path, threads: int, needed: Sequence[Need], precision: PrecisionSetting = "float"
) -> Analyzer:
    folders = folders_of(models)
    names = frozenset(n for task, name in needed for n in models_for(folders, {task: name}))
    options = LoadOptions(threads=threads, precision=precision)
    return Analyzer(model_store.load(folders, "cpu", names=names, options=options))


def _read_people(source: list[str]) -> list[IdentityImage]:
    try:
        return read_people(source)
    except ValueError as error:
        raise UserError(str(error)) from error


def _check_recordable(record: bool, has_model: bool) -> None:
    if record and not has_model:
        raise UserError("--record needs --model: a run has no model card.")


def main(arguments: list[str] | None = None) -> None:
    """Run a subcommand; mistakes of the user end it with one line and status 1 or 2."""
    with one_line_errors():
        app(arguments)


if __name__ == "__main__":
    main()
