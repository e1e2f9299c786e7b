"""Training, top to bottom: a config's net on the crops that `prepare` wrote.

    python -m training.train cnn68 --data cache/300w [--resume] [--epochs N] [--out runs]

leaves in `runs/<name>`: `best.weights.h5` (moving averages where there are any, best on validation),
`checkpoint.npz` (everything `--resume` needs to go on as if never stopped), `log.csv`, `curves.png`,
`tensorboard/` and `run.json` (config, seed, data hash, figures). Any Keras backend: the net and its loss are
`keras.ops`.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import keras
import numpy as np
import typer
from numpy import ndarray

from training import config, epochs, train_faces
from training.checkpoint import Progress
from training.config import BEST_WEIGHTS, Run, TrainConfig
from training.data import batches, crops
from training.epochs import Course
from training.losses import LOSSES
from training.metrics import nme, rmse, squares
from training.schedule import optimizer


def train(run: Run, settings: TrainConfig, data: Path, folder: Path, resume: bool = False) -> Progress:
    """Trains to the settings' last epoch, or till their patience ends, in `folder`; answers how it went.

    Raises FileExistsError where the folder holds a run and `resume` is not asked for, and ValueError where
    it is, with other data.
    """
    prepared = json.loads((data / "prepare.json").read_text())
    epochs.check(folder, resume, prepared.get("sha256"))
    keras.utils.set_random_seed(settings.seed)

    faces = crops.load(data / "train.tfrecord")
    training = batches.Batches(faces, settings)
    images, truth = batches.plain(crops.load(data / "validation.tfrecord"), settings.size)

    net = run.build()
    if settings.begin_at_mean and not resume:
        begin_at(net, np.nanmean(batches.plain(faces, settings.size)[1], axis=0))
    if settings.start_from and not resume:
        net.load_weights(folder.parent / settings.start_from / BEST_WEIGHTS)
    net.compile(optimizer(settings, training.steps), LOSSES[settings.loss])
    facts: dict[str, object] = {
        "faces": {"train": len(training), "validation": len(images)},
        "data": prepared,
    }
    course = Course(
        net, net, training, lambda: validate(net, images, truth, settings), facts, settings.choose_by
    )
    return epochs.run(course, settings, folder, resume)


def begin_at(net: keras.Model, answer: ndarray) -> None:
    """Makes the net's last layer, a dense one, answer this whatever it sees, until it learns better."""
    kernel, bias = net.layers[-1].weights
    kernel.assign(np.zeros(kernel.shape, np.float32))
    bias.assign(answer)


def validate(net: keras.Model, images: ndarray, truth: ndarray, settings: TrainConfig) -> dict[str, float]:
    """The loss, the normalised mean error and the RMSE in pixels of the net's picture on validation."""
    found = np.asarray(net.predict(images, batch_size=settings.batch, verbose=0), np.float32)
    loss = keras.ops.mean(LOSSES[settings.loss](truth, found))
    pixels, wanted = batches.from_unit(found, settings.size), batches.from_unit(truth, settings.size)
    return {
        "validation_loss": float(loss),
        "validation_error": float(nme(pixels, wanted, settings.scheme).mean()),
        "validation_rmse": rmse(squares(pixels, wanted)),
    }


def main(
    name: Annotated[str, typer.Argument(help="a module of training.configs")],
    data: Annotated[Path, typer.Option(help="the folder that prepare wrote")],
    out: Annotated[Path, typer.Option(help="the run gets a folder of its name in here")] = Path("runs"),
    resume: Annotated[bool, typer.Option(help="go on from the run's checkpoint")] = False,
    until: Annotated[int | None, typer.Option("--epochs", help="in place of the config's")] = None,
    seed: Annotated[int | None, typer.Option(help="in place of the config's")] = None,
    precision: Annotated[str, typer.Option(help="a Keras dtype policy, such as mixed_bfloat16")] = "float32",
    imagenet_weights: Annotated[Path | None, typer.Option(help="Keras's .h5 for the net's backbone")] = None,
) -> None:
    """Trains one named run."""
    keras.config.set_dtype_policy(precision)
    given = {k: v for k, v in (("epochs", until), ("seed", seed)) if v is not None}
    try:
        faces = config.find_face(name)
        if faces is not None:
            train_faces.train(faces, faces.CONFIG.model_copy(update=given), data, out / name, resume)
            return
        run = config.find(name)
        if imagenet_weights is not None:
            run = config.pretrained(run, imagenet_weights)
        elif run.CONFIG.backbone:
            print(
                f"the backbone begins with {run.CONFIG.backbone} weights; "
                "--imagenet-weights takes Keras's file"
            )
        train(run, run.CONFIG.model_copy(update=given), data, out / name, resume)
    except (FileExistsError, FileNotFoundError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    typer.run(main)
