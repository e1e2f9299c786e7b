"""Training of any net with Keras' `fit`: validation, best weights, checkpoint and log after each epoch."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from training.config.registry import BEST_WEIGHTS, RUN_FILE, RunError
from training.config.schema import RunConfig
from training.data.batches.epochs import EpochBatches
from training.engine import checkpoints
from training.engine.checkpoints import AveragedWeights, LogRow, Progress
from training.engine.run_log import RunLog


@dataclass(frozen=True)
class TrainingJob:
    """A compiled net, its training set, and its validation.

    Attributes:
        net: the compiled model.
        product: the part of the model whose weights are kept; often the model itself.
        batches: the training set.
        validate: returns the metrics of the current weights on the validation set.
        facts: what `run.json` records besides the configuration and the metrics.
        choose_by: the metric whose minimum selects the best weights.
        error_label: the label of `validation_error` on the learning curves.
    """

    net: keras.Model
    product: keras.Model
    batches: EpochBatches
    validate: Callable[[], LogRow]
    facts: dict[str, object]
    choose_by: str = "validation_error"
    error_label: str = "normalised mean error on validation"


def prepare_folder(folder: Path, resume: bool, data_sha256: object) -> None:
    """Create the folder of a run, or check that a run there can be resumed.

    Raises:
        FileExistsError: the folder holds a run, and `resume` is not set.
        FileNotFoundError: `resume` is set, and the folder holds no run.
        RunError: the run in the folder was trained on other data.
    """
    if not resume and (folder / checkpoints.FILE).exists():
        raise FileExistsError(
            f"{folder} already holds a run. Give --resume to continue it, or --out to train elsewhere."
        )
    if resume and not (folder / RUN_FILE).exists():
        raise FileNotFoundError(f"{folder} holds no run to continue. Leave out --resume.")
    if resume and json.loads((folder / RUN_FILE).read_text())["data"].get("sha256") != data_sha256:
        raise RunError(f"{folder} holds a run on other data. Give --data the folder that it was trained on.")
    folder.mkdir(parents=True, exist_ok=True)


def fit(job: TrainingJob, config: RunConfig, folder: Path, resume: bool) -> Progress:
    """Train to the last epoch, or until the patience is exhausted.

    A resumed run equals an uninterrupted one: the checkpoint holds all state, and the batches depend on the
    seed and the epoch alone.

    Args:
        job: the net, its training set, and its validation.
        config: the run.
        folder: the folder of the run, from `prepare_folder`.
        resume: continue from the checkpoint in `folder`.

    Returns:
        The progress of the run.
    """
    net = job.net
    if not net.optimizer.built:
        # Otherwise Keras traces the training step twice: the first step would create the variables.
        net.optimizer.build(net.trainable_variables)
    progress = checkpoints.load(folder, net) if resume else Progress()
    if not progress.finished(config.epochs, config.patience):
        net.fit(
            job.batches,
            initial_epoch=progress.epoch,
            epochs=config.epochs,
            shuffle=False,
            verbose=1 if sys.stdout.isatty() else 0,
            callbacks=[SelectEpoch(job.batches), EndOfEpoch(job, config, folder, progress)],
        )
    return progress


class SelectEpoch(keras.callbacks.Callback):  # type: ignore[misc] # keras has no types
    """Selects the batches of an epoch before it starts."""

    def __init__(self, batches: EpochBatches) -> None:
        super().__init__()
        self._batches = batches

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Select the batches."""
        self._batches.set_epoch(epoch)


class EndOfEpoch(keras.callbacks.Callback):  # type: ignore[misc] # keras has no types
    """Validates, keeps the best weights, writes the log and the checkpoint, and stops when it is time."""

    def __init__(self, job: TrainingJob, config: RunConfig, folder: Path, progress: Progress) -> None:
        super().__init__()
        self._job, self._config, self._folder, self._progress = job, config, folder, progress
        self._log = RunLog(folder, job.error_label)
        self._start = 0.0
        self._facts: dict[str, object] = {
            "config": config.model_dump(),
            "precision": keras.config.dtype_policy().name,
            "backend": f"{keras.backend.backend()}, keras {keras.__version__}",
            "parameters": job.product.count_params(),
            **job.facts,
        }

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Validate and write everything."""
        job, config, progress = self._job, self._config, self._progress
        row: LogRow = {"epoch": epoch + 1, "loss": float("nan")}
        row |= {name: float(value) for name, value in (logs or {}).items()}
        row["learning_rate"] = float(job.net.optimizer.learning_rate)
        if (epoch + 1) % config.validate_every == 0 or epoch + 1 == config.epochs:
            self._validate(row)
        row["seconds"] = time.perf_counter() - self._start

        progress.rows.append(row)
        progress.epoch = epoch + 1
        checkpoints.save(self._folder, job.net, progress)
        self._facts |= {
            "epochs": progress.epoch,
            "seconds": round(sum(r["seconds"] for r in progress.rows)),
            "best_epoch": progress.best_epoch,
            f"best_{job.choose_by}": progress.best,
        }
        self._log.write(progress.rows, self._facts)
        print("  ".join(f"{name} {value:.5g}" for name, value in row.items()), flush=True)
        job.net.stop_training = progress.finished(config.epochs, config.patience)

    def on_train_end(self, logs: Any = None) -> None:
        """Close the log."""
        self._log.close()

    def _validate(self, row: LogRow) -> None:
        job, progress = self._job, self._progress
        with AveragedWeights(job.net):
            row |= job.validate()
            if row[job.choose_by] < progress.best:
                progress.best, progress.best_epoch = row[job.choose_by], int(row["epoch"])
                checkpoints.save_weights(self._folder / BEST_WEIGHTS, job.product)
