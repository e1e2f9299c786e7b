"""Prepare training sets: aligned crops in TFRecord files, and `prepare.json` with settings and counts.

python -m training.prepare landmarks --data DATA --out cache/300w
python -m training.prepare landmarks --data DATA --source kaggle15 --out cache/kaggle15
python -m training.prepare identities --source folders:PEOPLE --out cache/people
python -m training.prepare pseudo-labels --data DATA --beside cache/300w --out cache/pseudo-labels
python -m training.prepare distillation --data DATA --beside cache/people --out cache/distillation
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from training.config.origins import ROWS_OF_300W
from training.data.datasets.identities import read_people
from training.data.datasets.landmark_sets import READERS, with_validation
from training.data.prepare import identity_crops, landmark_crops, pseudo_labels, teacher_vectors
from training.data.prepare.landmark_crops import SHAPES, CropKind, Report
from training.data.storage.prepared import REPORT, new_set
from training.evaluation.user_errors import UserError, one_line_errors

app = typer.Typer(add_completion=False, no_args_is_help=True)

LISTED = 10
"""Names that the terminal shows of a list. `prepare.json` has all of them."""

Models = Annotated[Path, typer.Option(help="The model store with the detector.")]
Out = Annotated[Path, typer.Option(help="The folder to write.")]


@app.callback()
def prepare() -> None:
    """Prepare a training set."""


@app.command()
def landmarks(
    data: Annotated[Path, typer.Option(help="The folder that holds the datasets.")],
    out: Out,
    source: Annotated[
        list[str] | None,
        typer.Option(help="300w, kaggle15, or pts for .pts files in the folder. May be repeated."),
    ] = None,
    crop: Annotated[CropKind, typer.Option(help="Aligned faces, or whole portraits.")] = "face",
    complete: Annotated[bool, typer.Option(help="Only faces with all points labelled.")] = False,
    models: Models = Path("models"),
    validation: Annotated[
        float, typer.Option(min=0, help="Share of the training photos; from 1 on, the number of faces.")
    ] = 0.08,
    seed: int = 0,
) -> None:
    """Crop the faces of datasets with landmarks."""
    names = source or ["300w"]
    named = [f"pts:{data.resolve().name}" if name == "pts" else name for name in names]
    if unknown := sorted(set(names) - set(READERS)):
        sys.exit(f"There is no dataset {' or '.join(unknown)}. The datasets are: {', '.join(READERS)}.")
    with data_errors():
        _check_validation(validation)
        samples = [s for name in names for s in READERS[name](data)]
    if not samples and names == ["pts"]:
        sys.exit(f"{data} holds no .pts files. Give --data the folder that holds them.")
    if not samples:
        sys.exit(f"{data} holds no faces of {', '.join(names)}. Give the folder that holds the datasets.")
    samples = [s for s in samples if not complete or np.isfinite(s.points).all()]
    if not samples:
        sys.exit(f"No face of {', '.join(names)} has all points labelled. Leave out --complete.")
    about: Report = {"sources": named, "seed": seed, "complete": complete}
    if "kaggle15" in names:
        about[ROWS_OF_300W] = sum(s.name.startswith("kaggle15/") and s.photo != s.name for s in samples)
    with data_errors():
        samples = with_validation(samples, validation, seed)
        with new_set(out) as folder:
            _write(landmark_crops.prepare(samples, folder, SHAPES[crop], models, about), folder)


@app.command()
def identities(
    source: Annotated[list[str], typer.Option(help="folders:DIR, celeba:DIR or lfw:DIR. May be repeated.")],
    out: Out,
    models: Models = Path("models"),
    validation: Annotated[
        float, typer.Option(min=0, help="Share of the people, at least 2; from 1 on, their number.")
    ] = 0.1,
    span: Annotated[
        int, typer.Option(min=16, help="Pixels of a face for a net: at least the size of its input.")
    ] = identity_crops.SPAN,
    seed: int = 0,
) -> None:
    """Crop the faces of known people."""
    with data_errors():
        _check_validation(validation)
        photos = read_people(source)
    named = [f"{kind}:{Path(folder).name}" for kind, _, folder in (s.partition(":") for s in source)]
    about: Report = {"sources": named, "seed": seed}
    with data_errors(), new_set(out) as folder:
        _write(about | identity_crops.prepare(photos, folder, validation, seed, models, span), folder)


@app.command("pseudo-labels")
def label_photos(
    data: Annotated[Path, typer.Option(help="The folder that holds identities/.")],
    beside: Annotated[Path, typer.Option(help="A prepared set of labelled faces, which is included.")],
    out: Out,
    teacher: Annotated[str, typer.Option(help="The landmark model with 68 points.")] = "landmarks68",
    models: Models = Path("models"),
    max_images: Annotated[int, typer.Option(min=1, help="Maximum number of photos per person.")] = 24,
) -> None:
    """Label photos of people with a landmark net, and add them to a prepared set."""
    with data_errors(), new_set(out) as folder:
        _write(pseudo_labels.prepare(data, beside, folder, teacher, models, max_images), folder)


@app.command()
def distillation(
    data: Annotated[Path, typer.Option(help="The folder that holds identities/, 300w/, mtfl5/ and wider/.")],
    beside: Annotated[Path, typer.Option(help="A prepared set of known people, which is included.")],
    out: Out,
    teacher: Annotated[str, typer.Option(help="The embedder whose vectors are learned.")] = "sface",
    models: Models = Path("models"),
) -> None:
    """Crop faces of known and unknown people, each with the vector of an embedder."""
    with data_errors(), new_set(out) as folder:
        _write(teacher_vectors.prepare(data, beside, folder, teacher, models), folder)


@contextmanager
def data_errors() -> Iterator[None]:
    """Turn unusable data, a missing file or an unsuitable model into one line on stderr.

    Yields:
        Nothing; the body reads the data.

    Raises:
        UserError: a ValueError of the body; it ends the command with status 1.
    """
    with one_line_errors():
        try:
            yield
        except ValueError as error:
            raise UserError(str(error)) from error


def _check_validation(validation: float) -> None:
    if validation >= 1 and validation != int(validation):
        raise UserError(f"--validation {validation:g} is not valid. Give a share below 1, or a whole number.")


def _write(report: Report, out: Path) -> None:
    text = json.dumps(report, indent=2)
    (out / REPORT).write_text(text + "\n")
    print(json.dumps(_shortened(report), indent=2))


def _shortened(value: object) -> object:
    """Return a report with the number of entries instead of each long list."""
    if isinstance(value, dict):
        return {key: _shortened(entry) for key, entry in value.items()}
    if isinstance(value, list) and len(value) > LISTED:
        return f"{len(value)} names, listed in {REPORT}"
    return value


if __name__ == "__main__":
    app()
