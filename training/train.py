"""Train a named run of any kind; the type of its config selects the job.

    python -m training.train cnn68 --data cache/300w [--resume] [--epochs N] [--out runs]
    python -m training.train triplet --data cache/people
    python -m training.train cascade_rnet --data DATA --candidates cache/rnet.npz

The folder `runs/<name>` then holds `best.weights.h5` (best on validation, with the moving averages of the
weights if the config asks for them), `checkpoint.npz` (all state that `--resume` needs), `log.csv`,
`curves.png`, `tensorboard/` and `run.json` (config, seed, data hash, metrics).
"""

import atexit
import gc
import sys
from pathlib import Path
from typing import Annotated

import keras
import typer

from app.errors import BadImage
from training.config import registry
from training.config.registry import RunError, UnknownRun
from training.config.schema import EmbeddingConfig, LandmarkConfig, RunConfig, StageConfig
from training.data.datasets.label_text import BadLabelFile
from training.engine import cascade_job, embedding_job, landmark_job

OPTIONS: dict[type[RunConfig], frozenset[str]] = {
    LandmarkConfig: frozenset({"imagenet-weights"}),
    EmbeddingConfig: frozenset(),
    StageConfig: frozenset({"candidates", "faces"}),
}
"""The options that only one kind of run accepts."""


def main(
    name: Annotated[str, typer.Argument(help="Name of the run: a module of training.configs.")],
    data: Annotated[
        Path, typer.Option(help="The folder that prepare wrote; for the cascade, one with wider/ and mtfl5/.")
    ],
    out: Annotated[Path, typer.Option(help="The run gets a folder of its name here.")] = Path("runs"),
    resume: Annotated[bool, typer.Option(help="Continue from the run's checkpoint.")] = False,
    epochs: Annotated[int | None, typer.Option(min=1, help="Replaces the config's value.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Replaces the config's value.")] = None,
    precision: Annotated[str, typer.Option(help="Keras dtype policy, such as mixed_bfloat16.")] = "float32",
    imagenet_weights: Annotated[
        Path | None, typer.Option(help="Landmark nets: weights file of the backbone.")
    ] = None,
    candidates: Annotated[
        Path | None, typer.Option(help="R- and O-Net: the file that mine_candidates wrote.")
    ] = None,
    faces: Annotated[
        Path | None, typer.Option(help="O-Net: a prepared folder of faces with 68 points.")
    ] = None,
) -> None:
    """Train one named run."""
    keras.config.set_dtype_policy(precision)
    changes = {key: value for key, value in (("epochs", epochs), ("seed", seed)) if value is not None}
    special = {"imagenet-weights": imagenet_weights, "candidates": candidates, "faces": faces}
    try:
        run = registry.find(name)
        _check_options(name, run.CONFIG, {key for key, value in special.items() if value is not None})
        if imagenet_weights is not None:
            run = registry.with_pretrained_backbone(run, imagenet_weights)
        config = run.CONFIG.model_copy(update=changes)
        match config:
            case StageConfig():
                photos = cascade_job.read(data, config, candidates, faces)
                cascade_job.train(run, config, photos, out / name, resume)
            case EmbeddingConfig():
                embedding_job.train(run, config, data, out / name, resume)
            case LandmarkConfig():
                _say_backbone(config)
                landmark_job.train(run, config, data, out / name, resume)
    except UnknownRun as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except FileNotFoundError as error:
        sys.exit(f"{error.filename} does not exist." if error.filename else str(error))
    except (FileExistsError, RunError, BadImage, BadLabelFile) as error:
        sys.exit(str(error))


def _check_options(name: str, config: RunConfig, options: set[str]) -> None:
    if wrong := sorted(options - OPTIONS[type(config)]):
        raise RunError(f"The run {name} does not accept {' and '.join(f'--{option}' for option in wrong)}.")


def _say_backbone(config: LandmarkConfig) -> None:
    if config.backbone == "random":
        print("The backbone starts with random weights. --imagenet-weights takes a file for it.")


if __name__ == "__main__":
    atexit.register(gc.collect)  # otherwise TensorFlow warns that an iterator outlives the interpreter
    typer.run(main)
