"""Export a training run to a model folder: ONNX files, golden files, manifest and model cards.

    python -m training.export runs/triplet --name staff --models my-models --calibrate PEOPLE
    python -m training.export runs/cnn68 --name points --models my-models --licence CC-BY-4.0
    python -m training.export runs/my_pnet runs/my_rnet runs/my_onet --name boxes --models my-models

A landmark or embedding run is a model of its own; P-, R- and O-Net together are a detector. A model of the
same name and task is replaced; if its weights were others, its calibration and its recorded figures are
removed. Nothing is written unless ONNX and Keras agree on the golden images.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from app.runtime.manifest import MANIFEST
from app.vision.spec import ComparedSpec
from training.config.registry import BEST_WEIGHTS, RUN_FILE, config_of
from training.config.schema import RunConfig
from training.evaluation.own_people import calibrate_run, detector_of
from training.evaluation.user_errors import UserError, one_line_errors
from training.exporting import manifest
from training.exporting.attribution import Attribution, attribution_of
from training.exporting.calibration import FILE as CALIBRATION
from training.exporting.calibration import read_calibration, write_calibration
from training.exporting.onnx import ParityError
from training.exporting.recipes import Product
from training.exporting.trained import product_of
from training.importers.packages import CACHE
from training.reports import model_cards


def main(
    runs: Annotated[
        list[Path], typer.Argument(help="Folder of a run, or of one run each of P-, R- and O-Net.")
    ],
    models: Annotated[Path, typer.Option(help="Your model folder. It is made if it does not exist.")],
    name: Annotated[str | None, typer.Option(help="Name of the model; by default that of the run.")] = None,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the weights: an SPDX expression, or LicenseRef-NAME.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="What you call the data; by default its folders.")
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(help="Embedders: folder of people, or pairs file like LFW's, for the thresholds."),
    ] = None,
) -> None:
    """Export one landmark or embedding run, or the three runs of a cascade."""
    with one_line_errors():
        _check_folders(runs, models)
        attribution = attribution_of(runs, name or _name_of(runs), licence, source)
        product = _product(runs, models, attribution, calibrate)
        _write(product, models)


def _name_of(runs: Sequence[Path]) -> str:
    if len(runs) > 1:
        raise UserError("A cascade of three runs needs --name.")
    return config_of(runs[0], RunConfig).name


def _product(runs: Sequence[Path], models: Path, attribution: Attribution, people: Path | None) -> Product:
    """Return the product of the runs, after a check of its name.

    Args:
        runs: folders of the runs.
        models: the model folder. Its calibration of these weights is used if there are no people.
        attribution: name of the product, and what its specs say of the weights.
        people: the people to calibrate on.

    Raises:
        UserError: the product cannot be calibrated.
        RunError: the runs make no product, or its name is taken.
    """
    product = product_of(runs, attribution)
    manifest.check_name(models, product.name, product.task, [recipe.file for recipe in product.recipes])
    if people is not None:
        if product.task != "embed":
            raise UserError(f"--calibrate is for embedders, not for models for {product.task}. Leave it out.")
        own = calibrate_run(runs[0], people, detector_of(manifest.SHIPPED))
        print("\n".join(own.lines()))
        return product_of(runs, attribution, own.calibration)
    if product.weights != manifest.weights_of(models, product.name):
        return product
    return product_of(runs, attribution, read_calibration(models).get(product.name))


def _check_folders(runs: Sequence[Path], models: Path) -> None:
    for path in (run / file for run in runs for file in (RUN_FILE, BEST_WEIGHTS)):
        if not path.exists():
            raise UserError(f"{path} does not exist. Give the folder of a finished run, such as runs/cnn68.")
    if models.exists() and not models.is_dir():
        raise UserError(f"{models} is not a folder. Give --models a folder, which need not exist.")
    home = next(folder for folder in (models, *models.absolute().parents) if folder.exists())
    if not os.access(home, os.W_OK | os.X_OK):  # before minutes of calibration
        raise UserError(f"{home} cannot be written to. Give --models a folder that you may write to.")


def _write(product: Product, models: Path) -> None:
    try:
        differences = product.write(models, CACHE)
    except ParityError as error:
        raise UserError(str(error)) from error
    if product.weights != manifest.weights_of(models, product.name):
        _forget(product, models)
    manifest.put(models, product.entry(models))
    (models / "README.md").write_text(model_cards.render(models))
    for file, difference in differences.items():
        print(f"{models / file}: ONNX differs from Keras by at most {difference:.2g}")
    spec = product.recipes[0].spec
    terms = f"{spec.licence}, research only" if spec.research_only else spec.licence
    print(f"{models / MANIFEST}: {product.name} ({product.task}), licence {terms}")
    if isinstance(spec, ComparedSpec) and not spec.thresholds:
        print("It has no thresholds, so /verify needs the parameter threshold. --calibrate computes them.")


def _forget(product: Product, models: Path) -> None:
    """Remove the calibration and the recorded figures of a model's earlier weights, and say so."""
    name, calibrations = product.name, read_calibration(models)
    recorded = manifest.weights_of(models, name) is not None
    reason = f"because {'other weights have' if recorded else 'it is not recorded which weights have'} them"
    if calibrations.pop(name, None) is not None:
        write_calibration(models, calibrations)
        folders = "" if models.resolve() == manifest.SHIPPED else f" --models models{os.pathsep}{models}"
        print(
            f"{models / CALIBRATION}: the thresholds of {name} are removed, {reason}. For new ones, give "
            f"--calibrate, or export again after `python -m training.evaluate calibrate --data DATA "
            f"--model {name}{folders}`."
        )
    if commands := model_cards.forget(models, name):
        print(
            f"{models / model_cards.METRICS}: the figures of {name} are removed, {reason}. For new ones: "
            f"{', '.join(f'`{command} --record`' for command in commands)}."
        )


if __name__ == "__main__":
    typer.run(main)
