"""Export a training run to the model folder: ONNX file, golden file, manifest and model card.

    python -m training.export runs/cnn68
    python -m training.export runs/triplet --models my-models
    python -m training.export runs/cascade_pnet runs/cascade_rnet runs/cascade_onet --name my_cascade

A landmark or embedding run is a model of its own; P-, R- and O-Net together are a detector. A model of the
same name and task is replaced. Nothing is written unless ONNX and Keras agree on the golden images.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from app.errors import FacetError
from training.config.registry import RunError
from training.exporting import manifest
from training.exporting.calibration import read_calibration
from training.exporting.onnx import ParityError
from training.exporting.trained import product_of
from training.importers.packages import CACHE
from training.reports import model_cards


def main(
    runs: Annotated[
        list[Path], typer.Argument(help="Folder of a run, or of one run each of P-, R- and O-Net.")
    ],
    name: Annotated[str | None, typer.Option(help="Name of the model; by default that of the run.")] = None,
    models: Annotated[Path, typer.Option(help="The model folder.")] = Path("models"),
) -> None:
    """Export one landmark or embedding run, or the three runs of a cascade."""
    try:
        product = product_of(runs, name, read_calibration(models))
        manifest.check_replaceable(models, product.name, product.task)
        differences = product.write(models, CACHE)
    except FileNotFoundError as error:
        sys.exit(f"{error.filename} does not exist. Give the folder of a finished run, such as runs/cnn68.")
    except (RunError, ParityError, FacetError) as error:
        sys.exit(str(error))
    for file, difference in differences.items():
        print(f"{models / file}: ONNX differs from Keras by at most {difference:.2g}")
    manifest.put(models, product.entry(models))
    (models / "README.md").write_text(model_cards.render(models))
    print(f"{models / 'manifest.json'}: {product.name} ({product.task})")


if __name__ == "__main__":
    typer.run(main)
