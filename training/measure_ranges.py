r"""Measure the activation ranges of embedders, from which `make models` makes their int8 files.

    python -m training.measure_ranges --source folders:DATA/identities/vggface2 \
        --compare folders:DATA/identities/celeba
    python -m training.make_models --only sface --only dlib

Faces are detected and aligned as in the service. Measure the ranges on many people, none of them of a test
set. Values outside the ranges are clipped.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jaxtyping import UInt8
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.analyzer import Analyzer
from app.pipeline.embedder import AlignedCrops, Embedder
from app.runtime import model_store
from app.runtime.manifest import models_for
from app.runtime.timing import Timing
from app.vision.pyramid import ImagePyramid
from training.data.datasets.identities import read_people
from training.data.datasets.images import read_image
from training.evaluation.face_vectors import LocatedFaces, locate
from training.evaluation.rates import limit_per_person
from training.evaluation.user_errors import UserError, one_line_errors
from training.exporting import activation_ranges

INT8_EMBEDDERS = ("sface", "dlib")


def main(
    source: Annotated[
        list[str], typer.Option(help="People for the ranges: folders:DIR, celeba:DIR or lfw:DIR.")
    ],
    compare: Annotated[list[str], typer.Option(help="Other people, on whom int8 and float are compared.")],
    names: Annotated[list[str] | None, typer.Argument(help="Embedders; sface and dlib by default.")] = None,
    models: Annotated[Path, typer.Option(help="The model folder.")] = Path("models"),
    most: Annotated[int, typer.Option(help="Maximum number of images per person.")] = 16,
) -> None:
    """Measure the ranges of the named embedders on the largest face of each image."""
    with one_line_errors():
        chosen = frozenset(names or INT8_EMBEDDERS)
        detectors = models_for(models, {"detect": None})
        loaded = model_store.load(models, "cpu", names=chosen | detectors)
        analyzer = Analyzer(loaded)
        ranged, compared = _locate(analyzer, source, most), _locate(analyzer, compare, most)
        people, folders = len(set(compared.people)), " and ".join(one.rpartition("/")[2] for one in compare)
        for model in (m for m in loaded if m.entry.name in chosen):
            embedder = analyzer.embedder(model.entry.name)
            align = AlignedCrops(model.sessions["embedder"])
            crops = _crops(analyzer, embedder, align, compared)
            (file,) = model.entry.files
            name = f"{len(crops)} faces of {people} people of {folders}"
            measured = activation_ranges.measure(
                models / file.file, _crops(analyzer, embedder, align, ranged), crops, name
            )
            path = activation_ranges.ranges_path(models, file.file)
            activation_ranges.write(path, measured)
            cosine = measured.cosine
            print(
                f"{path}: {len(measured.ranges)} tensors; int8 has a mean cosine of {cosine.mean} to float, "
                f"1st percentile {cosine.percentile_1}, minimum {cosine.minimum}, on {cosine.measured_on}"
            )


def _locate(analyzer: Analyzer, source: list[str], most: int) -> LocatedFaces:
    try:
        images = limit_per_person(read_people(source), most)
    except ValueError as error:
        raise UserError(str(error)) from error
    return locate(analyzer, [i.path for i in images], [i.person for i in images])


def _crops(
    analyzer: Analyzer, embedder: Embedder, align: AlignedCrops, faces: LocatedFaces
) -> UInt8[ndarray, "n h w 3"]:
    detected = np.flatnonzero(~np.isnan(faces.points).any(axis=(1, 2)))
    crops = []
    for i in tqdm(detected, desc=align.spec.model, unit="image", disable=None):
        picture = ImagePyramid(read_image(faces.paths[i]))
        points = analyzer.align(picture, faces.points[i][None], embedder, Timing())
        crops.append(align(picture, points.crop))
    return np.concatenate(crops)


if __name__ == "__main__":
    typer.run(main)
