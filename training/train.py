"""Training, top to bottom: a config's net on the crops that `prepare` wrote.

    python -m training.train cnn68 --data cache/300w [--resume] [--epochs N] [--out runs]

leaves in `runs/<name>`: `best.weights.h5` (moving averages where there are any, best on validation),
`checkpoint.npz` (everything `--resume` needs to go on as if never stopped), `log.csv`, `curves.png`,
`tensorboard/` and `run.json` (config, seed, data hash, figures). Any Keras backend: the net and its loss are
`keras.ops`.
"""

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import keras
import numpy as np
import typer
from numpy import ndarray
from tqdm import tqdm

from training import checkpoint, config, train_faces
from training.checkpoint import Progress
from training.config import BEST_WEIGHTS, RUN_FILE, Run, TrainConfig
from training.data import batches, crops
from training.logbook import Logbook
from training.losses import LOSSES
from training.metrics import nme, rmse, squares
from training.schedule import optimizer, over


def train(run: Run, settings: TrainConfig, data: Path, folder: Path, resume: bool = False) -> Progress:
    """Trains to the settings' last epoch, or till their patience ends, in `folder`; answers how it went.

    Raises FileExistsError where the folder holds a run and `resume` is not asked for, and ValueError where
    it is, with other data.
    """
    if not resume and (folder / checkpoint.FILE).exists():
        raise FileExistsError(f"{folder} holds a run: --resume goes on with it, --out names another place")
    prepared = json.loads((data / "prepare.json").read_text())
    if resume and json.loads((folder / RUN_FILE).read_text())["data"].get("sha256") != prepared.get("sha256"):
        raise ValueError(f"{folder} holds a run on other data than {data}")
    folder.mkdir(parents=True, exist_ok=True)
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
    progress = checkpoint.load(folder, net) if resume else Progress()
    facts: dict[str, object] = {
        "config": settings.model_dump(),
        "precision": keras.config.dtype_policy().name,
        "backend": f"{keras.backend.backend()}, keras {keras.__version__}",
        "parameters": net.count_params(),
        "faces": {"train": len(training), "validation": len(images)},
        "data": prepared,
    }
    book = Logbook(folder)
    while not over(progress, settings):
        epoch, start = progress.epoch, time.perf_counter()
        net.reset_metrics()
        loss = float("nan")
        bar = tqdm(training.epoch(epoch), f"epoch {epoch + 1}", training.steps, leave=False, disable=None)
        for pictures, targets in bar:
            loss = float(net.train_on_batch(pictures, targets))
            bar.set_postfix(loss=f"{loss:.3g}")
        row = {"epoch": epoch + 1, "loss": loss, "learning_rate": float(net.optimizer.learning_rate)}

        if (epoch + 1) % settings.validate_every == 0 or epoch + 1 == settings.epochs:
            with checkpoint.Averaged(net):
                row |= validate(net, images, truth, settings)
                if row[settings.choose_by] < progress.best:
                    progress.best, progress.best_epoch = row[settings.choose_by], epoch + 1
                    checkpoint.save_best(folder / BEST_WEIGHTS, net)
        row["seconds"] = time.perf_counter() - start

        progress.rows.append(row)
        progress.epoch = epoch + 1
        checkpoint.save(folder, net, progress)
        facts |= {"epochs": progress.epoch, "seconds": round(sum(r["seconds"] for r in progress.rows))}
        facts |= {"best_epoch": progress.best_epoch, f"best_{settings.choose_by}": progress.best}
        book.write(progress.rows, facts)
        print("  ".join(f"{k} {v:.5g}" for k, v in row.items()), flush=True)
    book.close()
    return progress


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
    epochs: Annotated[int | None, typer.Option(help="in place of the config's")] = None,
    seed: Annotated[int | None, typer.Option(help="in place of the config's")] = None,
    precision: Annotated[str, typer.Option(help="a Keras dtype policy, such as mixed_bfloat16")] = "float32",
    imagenet_weights: Annotated[Path | None, typer.Option(help="Keras's .h5 for the net's backbone")] = None,
) -> None:
    """Trains one named run."""
    keras.config.set_dtype_policy(precision)
    given = {k: v for k, v in (("epochs", epochs), ("seed", seed)) if v is not None}
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
