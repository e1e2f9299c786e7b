"""Draw training faces of a landmark run with their labels: as served, and as the run augments them.

    python -m training.studies.landmark_samples cnn15 --data cache/cnn15 --out runs/cnn15/samples.png

Look at the picture before a long run: wrong labels, mirrored points and crops without a face are visible.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from training.config import registry
from training.config.schema import LandmarkConfig
from training.data.batches.landmarks import LandmarkBatches, from_unit, served_crops
from training.data.storage import landmark_crops
from training.data.storage.prepared import read_report
from training.engine.landmark_job import check_suitable
from training.evaluation.user_errors import UserError, one_line_errors
from training.reports.landmark_pictures import draw


def main(
    name: Annotated[str, typer.Argument(help="Name of the run: a module of training.configs.")],
    data: Annotated[Path, typer.Option(help="The folder that `training.prepare landmarks` wrote.")],
    out: Annotated[Path, typer.Option(help="The PNG file.")],
    count: Annotated[int, typer.Option(min=1, max=100, help="Number of faces.")] = 12,
) -> None:
    """Draw the first faces of a prepared set twice: as served, and augmented.

    Raises:
        UserError: the run trains no landmark net.
        RunError: the set has other points or other crops than the run needs.
    """
    config = registry.find(name).CONFIG
    if not isinstance(config, LandmarkConfig):
        raise UserError(f"{name} trains no landmark net. Its samples have no points.")
    prepared = read_report(data, "landmarks")
    faces = landmark_crops.load(data / "train.tfrecord")
    check_suitable(faces, prepared, config, data)
    count = min(count, len(faces))
    images, labels = served_crops(faces, config.size)
    batches = LandmarkBatches(faces, config.model_copy(update={"batch": count}))
    augmented, moved = batches.make(np.arange(count), np.random.default_rng(config.seed), 0)
    both = np.concatenate([images[:count].astype(np.float32), augmented])
    draw(both, from_unit(np.concatenate([labels[:count], moved]), config.size), out)
    print(f"{out}: {count} faces as served, then the same faces augmented")


if __name__ == "__main__":
    with one_line_errors():
        typer.run(main)
