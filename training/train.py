"""Train a named run of any kind; the type of its config selects the job.

    python -m training.train cnn68 --data cache/300w
    python -m training.train cnn68 --data cache/300w --name mine --set epochs=20 --set augment.rotate=10
    python -m training.train cnn68 --data cache/300w --name mine --resume
    python -m training.train cascade_rnet --data DATA --candidates cache/rnet.npz

The folder `runs/<name>` then holds `best.weights.h5` (best on validation, with the moving averages of the
weights if the config asks for them), `checkpoint.npz` (all state that `--resume` needs), `log.csv`,
`curves.png`, `summary.txt` (the layers of the net), `tensorboard/` and `run.json` (module, config, seed, hash
of the data, metrics).
"""

import atexit
import gc
from pathlib import Path
from typing import Annotated, Literal

import keras
import typer

from app.runtime.precision import cpu_instructions
from training.config import registry
from training.config.changes import changed, check_name, resumed
from training.config.registry import Run, RunError
from training.config.schema import EmbeddingConfig, LandmarkConfig, RunConfig, StageConfig
from training.engine import cascade_data, cascade_job, embedding_job, landmark_job
from training.engine.fit import check_folder
from training.evaluation.user_errors import one_line_errors

Precision = Literal["float32", "mixed_bfloat16"]

BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Instructions for products of bfloat16 numbers, of x86 and ARM."""

OPTIONS: dict[type[RunConfig], frozenset[str]] = {
    LandmarkConfig: frozenset({"imagenet-weights"}),
    EmbeddingConfig: frozenset(),
    StageConfig: frozenset({"candidates", "faces"}),
}
"""The options that only one kind of run accepts."""


def main(
    run: Annotated[str, typer.Argument(help="The run: a module of training.configs.", show_default=False)],
    data: Annotated[
        Path, typer.Option(help="The folder that prepare wrote; for the cascade, one with wider/ and mtfl5/.")
    ],
    name: Annotated[
        str | None, typer.Option(help="Name of the trained run and of its folder; by default that of RUN.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Changes a field of the config. May be repeated."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Short for --set epochs=N.")] = None,
    seed: Annotated[int | None, typer.Option(help="Short for --set seed=N.")] = None,
    out: Annotated[Path, typer.Option(help="The run gets a folder of its name here.")] = Path("runs"),
    resume: Annotated[
        bool, typer.Option(help="Continue from the run's checkpoint, with its config.")
    ] = False,
    precision: Annotated[
        Precision | None, typer.Option(help="Keras dtype policy; float32, or that of the resumed run.")
    ] = None,
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
    special = {"imagenet-weights": imagenet_weights, "candidates": candidates, "faces": faces}
    short = {"epochs": epochs, "seed": seed}
    assignments = [*(changes or []), *(f"{key}={n}" for key, n in short.items() if n is not None)]
    with one_line_errors():
        module = registry.find(run)
        _check_options(module.CONFIG, {key for key, value in special.items() if value is not None})
        if imagenet_weights is not None:
            module = registry.with_pretrained_backbone(module, imagenet_weights)
        folder = out / check_name(name or run)
        check_folder(folder, resume)
        if resume:
            config = resumed(_recorded(folder, module), assignments)
        else:
            config = changed(module.CONFIG, assignments).model_copy(update={"name": folder.name})
        policy = _precision(folder, precision, resume)
        if policy == "mixed_bfloat16" and keras.backend.backend() == "tensorflow" and _lacks_bfloat16():
            print("This CPU has no bfloat16 instructions, so mixed_bfloat16 is much slower than float32.")
        keras.config.set_dtype_policy(policy)
        match config:
            case StageConfig():
                photos = cascade_data.read(data, config, candidates, faces)
                cascade_job.train(module, config, photos, folder, resume)
            case EmbeddingConfig():
                embedding_job.train(module, config, data, folder, resume)
            case LandmarkConfig():
                if config.backbone == "random" and not resume:
                    print("The backbone starts with random weights. --imagenet-weights takes a file for it.")
                landmark_job.train(module, config, data, folder, resume)


def _check_options(config: RunConfig, options: set[str]) -> None:
    if wrong := sorted(options - OPTIONS[type(config)]):
        names = " and ".join(f"--{option}" for option in wrong)
        raise RunError(f"The run {config.name} does not accept {names}.")


def _recorded(folder: Path, module: Run) -> RunConfig:
    """Return the config of the run in `folder`, which is to be continued.

    Raises:
        RunError: it is a run of another module, or its backbone started with other weights.
    """
    other = registry.module_of(folder)
    if other != module.CONFIG.name:
        raise RunError(f"{folder} holds a run of {other}, not of {module.CONFIG.name}. Give its --name.")
    recorded = registry.config_of(folder, RunConfig)
    started, given = (getattr(config, "backbone", "") for config in (recorded, module.CONFIG))
    if given not in ("", "random", started):
        raise RunError(f"The backbone of {folder} started with other weights. Leave out --imagenet-weights.")
    return recorded


def _precision(folder: Path, wanted: Precision | None, resume: bool) -> str:
    """Return the dtype policy of a run.

    Raises:
        RunError: a run that is to be continued has another one.
    """
    if not resume:
        return wanted or "float32"
    recorded = str(registry.read_run_file(folder).get("precision", "float32"))
    if wanted not in (None, recorded):
        raise RunError(f"The run was started with --precision {recorded}, and a resumed run keeps it.")
    return recorded


def _lacks_bfloat16() -> bool:
    """Return whether the instructions of the CPU are known and have no products of bfloat16 numbers."""
    known = cpu_instructions()
    return bool(known) and BFLOAT16.isdisjoint(known)


if __name__ == "__main__":
    atexit.register(gc.collect)  # otherwise TensorFlow warns that an iterator outlives the interpreter
    typer.run(main)
