"""Train a named run of any kind.

    python -m training.train cnn68 --data cache/300w [--resume] [--epochs N] [--out runs]
    python -m training.train triplet --data cache/people
    python -m training.train cascade_rnet --data DATA --candidates cache/rnet.npz

leaves in `runs/<name>`: `best.weights.h5` (moving averages where there are any, best on validation),
`checkpoint.npz` (everything `--resume` needs to go on as if never stopped), `log.csv`, `curves.png`,
`tensorboard/` and `run.json` (config, seed, data hash, figures).

The type of the run's config decides which training it is: that of `train_landmarks`, `train_faces` or
`train_cascade`.
"""

import sys
from pathlib import Path
from typing import Annotated, cast

import keras
import typer

from training import config, train_cascade, train_faces, train_landmarks
from training.cascade_config import StageConfig, StageRun
from training.config import FaceConfig, FaceRun, Run, RunError, Schedule, TrainConfig, UnknownRun

OPTIONS: dict[type[Schedule], frozenset[str]] = {
    TrainConfig: frozenset({"imagenet-weights"}),
    FaceConfig: frozenset(),
    StageConfig: frozenset({"candidates", "faces"}),
}
"""The options that only one kind of run takes."""


def main(
    name: Annotated[str, typer.Argument(help="a module of training.configs")],
    data: Annotated[
        Path, typer.Option(help="the folder that prepare wrote; for the cascade, one with wider/ and mtfl5/")
    ],
    out: Annotated[Path, typer.Option(help="the run gets a folder of its name in here")] = Path("runs"),
    resume: Annotated[bool, typer.Option(help="go on from the run's checkpoint")] = False,
    until: Annotated[int | None, typer.Option("--epochs", help="in place of the config's")] = None,
    seed: Annotated[int | None, typer.Option(help="in place of the config's")] = None,
    precision: Annotated[str, typer.Option(help="a Keras dtype policy, such as mixed_bfloat16")] = "float32",
    imagenet_weights: Annotated[
        Path | None, typer.Option(help="landmarks: Keras's .h5 for the net's backbone")
    ] = None,
    candidates: Annotated[
        Path | None, typer.Option(help="R- and O-Net: the file that training.propose wrote")
    ] = None,
    faces: Annotated[
        Path | None, typer.Option(help="O-Net: faces with 68 points, which training.data.taught wrote")
    ] = None,
) -> None:
    """Train one named run."""
    keras.config.set_dtype_policy(precision)
    changes = {key: value for key, value in (("epochs", until), ("seed", seed)) if value is not None}
    special = {"imagenet-weights": imagenet_weights, "candidates": candidates, "faces": faces}
    try:
        run = config.load(name)
        settings = run.CONFIG.model_copy(update=changes)
        _check_options(name, settings, {key for key, value in special.items() if value is not None})
        match settings:
            case StageConfig():
                learnt = train_cascade.read(data, candidates, settings, faces)
                train_cascade.train(cast(StageRun, run), settings, learnt, out / name, resume)
            case FaceConfig():
                train_faces.train(cast(FaceRun, run), settings, data, out / name, resume)
            case TrainConfig():
                landmarks = _with_backbone(cast(Run, run), imagenet_weights)
                changed = landmarks.CONFIG.model_copy(update=changes)
                train_landmarks.train(landmarks, changed, data, out / name, resume)
    except UnknownRun as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except (FileExistsError, FileNotFoundError, RunError) as error:
        sys.exit(str(error))


def _check_options(name: str, settings: Schedule, given: set[str]) -> None:
    if wrong := sorted(given - OPTIONS[type(settings)]):
        raise RunError(f"The run {name} does not take {' and '.join(f'--{option}' for option in wrong)}.")


def _with_backbone(run: Run, weights: Path | None) -> Run:
    if weights is not None:
        return config.pretrained(run, weights)
    if run.CONFIG.backbone:
        print(
            f"the backbone begins with {run.CONFIG.backbone} weights; --imagenet-weights takes Keras's file"
        )
    return run


if __name__ == "__main__":
    typer.run(main)
