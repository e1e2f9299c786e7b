"""Prepare training sets: aligned crops in TFRecord files, and `prepare.json` with settings and counts.

python -m training.prepare landmarks --data DATA --out cache/300w
python -m training.prepare landmarks --data DATA --source kaggle15 --out cache/kaggle15
python -m training.prepare identities --source folders:PEOPLE --out cache/people
python -m training.prepare pseudo-labels --data DATA --beside cache/300w --out cache/pseudo-labels
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from training.data.datasets.identities import read_people
from training.data.datasets.landmark_sets import READERS, with_validation
from training.data.prepare import identity_crops, landmark_crops, pseudo_labels
from training.data.prepare.landmark_crops import SHAPES, CropKind, Report
from training.evaluation.user_errors import UserError, one_line_errors

app = typer.Typer(add_completion=False, no_args_is_help=True)

Models = Annotated[Path, typer.Option(help="The model store with the detector.")]
Out = Annotated[Path, typer.Option(help="The folder to write.")]


@app.callback()
def prepare() -> None:
    """Prepare a training set."""


@app.command()
def landmarks(
    data: Annotated[Path, typer.Option(help="The folder that holds the datasets.")],
    out: Out,
    source: Annotated[list[str] | None, typer.Option(help="A dataset. May be repeated.")] = None,
    crop: Annotated[CropKind, typer.Option(help="Aligned faces, or whole portraits.")] = "face",
    complete: Annotated[bool, typer.Option(help="Only faces with all points labelled.")] = False,
    models: Models = Path("models"),
    validation: Annotated[
        float, typer.Option(min=0, help="Share of the training photos, or, from 1 on, number of faces.")
    ] = 0.08,
    seed: int = 0,
) -> None:
    """Crop the faces of datasets with landmarks."""
    names = source or ["300w"]
    if unknown := sorted(set(names) - set(READERS)):
        sys.exit(f"There is no dataset {' or '.join(unknown)}. The datasets are: {', '.join(READERS)}.")
    with data_errors():
        samples = [s for name in names for s in READERS[name](data)]
    if not samples:
        sys.exit(f"{data} holds no faces of {', '.join(names)}. Give the folder that holds the datasets.")
    samples = [s for s in samples if not complete or np.isfinite(s.points).all()]
    if not samples:
        sys.exit(f"No face of {', '.join(names)} has all points labelled. Leave out --complete.")
    about: Report = {"sources": names, "seed": seed, "complete": complete}
    samples = with_validation(samples, validation, seed)
    with one_line_errors():
        _write(landmark_crops.prepare(samples, out, SHAPES[crop], models, about), out)


@app.command()
def identities(
    source: Annotated[list[str], typer.Option(help="folders:DIR, celeba:DIR or lfw:DIR. May be repeated.")],
    out: Out,
    models: Models = Path("models"),
    validation: Annotated[int, typer.Option(min=0, help="Number of people for validation.")] = 30,
    seed: int = 0,
) -> None:
    """Crop the faces of known people."""
    with data_errors():
        photos = read_people(source)
    named = [f"{kind}:{Path(folder).name}" for kind, _, folder in (s.partition(":") for s in source)]
    about: Report = {"sources": named, "seed": seed}
    with one_line_errors():
        _write(about | identity_crops.prepare(photos, out, validation, seed, models), out)


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
    with data_errors():
        _write(pseudo_labels.prepare(data, beside, out, teacher, models, max_images), out)


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


def _write(report: Report, out: Path) -> None:
    text = json.dumps(report, indent=2)
    (out / "prepare.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    app()
