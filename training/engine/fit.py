"""Training of any net with Keras' `fit`: validation, best weights, checkpoint and log after each epoch."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from training.config.origins import start_facts
from training.config.registry import BEST_WEIGHTS, RUN_FILE, RunError, read_run_file
from training.config.schema import RunConfig
from training.data.batches.epochs import EpochBatches
from training.engine import checkpoints
from training.engine.allocator import keep_freed_memory
from training.engine.checkpoints import AveragedWeights, LogRow, Progress
from training.engine.progress import RunProgress
from training.engine.run_log import RunLog

SUMMARY = "summary.txt"
"""File of a run with the table of the net's layers."""


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


def check_folder(folder: Path, resume: bool) -> None:
    """Check that a run can start, or be continued, in a folder.

    Raises:
        RunError: the folder holds a run, and `resume` is not set, or the reverse.
    """
    missing = [name for name in (RUN_FILE, checkpoints.FILE) if not (folder / name).exists()]
    if resume and missing:
        raise RunError(f"{folder} holds no run to continue: it has no {missing[0]}. Leave out --resume.")
    if not resume and RUN_FILE not in missing:
        raise RunError(
            f"{folder} already holds a run. Give --resume to continue it, or --name to train another one."
        )


def check_data(folder: Path, data_sha256: object) -> None:
    """Check that the run in a folder, which is to be continued, was trained on the data with this hash.

    Raises:
        RunError: it was trained on other data.
        FileNotFoundError: the folder holds no run.
    """
    if read_run_file(folder).get("data", {}).get("sha256") != data_sha256:
        raise RunError(f"{folder} holds a run on other data. Give --data the folder that it was trained on.")


def fit(job: TrainingJob, config: RunConfig, folder: Path, resume: bool) -> Progress:
    """Train to the last epoch, or until the patience is exhausted.

    A resumed run equals an uninterrupted one: the checkpoint holds all state, and the batches depend on the
    seed and the epoch alone. If a run was killed between its last checkpoint and its log, the log is written.

    Args:
        job: the net, its training set, and its validation.
        config: the run.
        folder: the folder of the run, which is created.
        resume: continue from the checkpoint in `folder`.

    Returns:
        The progress of the run.

    Raises:
        RunError: the checkpoint is damaged, or of another net.
    """
    net = job.net
    job = replace(job, facts=job.facts | start_facts(config, folder, resume))
    if not net.optimizer.built:
        # Otherwise Keras traces the training step twice: the first step would create the variables.
        net.optimizer.build(net.trainable_variables)
    progress = checkpoints.load(folder, net) if resume else Progress()
    folder.mkdir(parents=True, exist_ok=True)
    _write_summary(folder / SUMMARY, net)
    if progress.finished(config.epochs, config.patience):
        print(f"{folder} is trained: {progress.epoch} epochs are done. Give --epochs to train longer.")
        if read_run_file(folder).get("epochs") != progress.epoch:  # it was killed after the checkpoint
            log = RunLog(folder, job.error_label)
            log.write(progress.rows, _facts(job, config, progress))
            log.close()
    else:
        keep_freed_memory()
        shown = RunProgress(config.epochs, len(job.batches), progress.epoch)
        net.fit(
            job.batches,
            initial_epoch=progress.epoch,
            epochs=config.epochs,
            shuffle=False,
            verbose=0,
            callbacks=[SelectEpoch(job.batches), shown, EndOfEpoch(job, config, folder, progress, shown)],
        )
    return progress


def _facts(job: TrainingJob, config: RunConfig, progress: Progress) -> dict[str, object]:
    """Return the contents of `run.json`."""
    return {
        "config": config.model_dump(),
        "precision": keras.config.dtype_policy().name,
        "backend": f"{keras.backend.backend()}, keras {keras.__version__}",
        "parameters": job.product.count_params(),
        **job.facts,
        "epochs": progress.epoch,
        "seconds": round(sum(row["seconds"] for row in progress.rows)),
        "best_epoch": progress.best_epoch,
        f"best_{job.choose_by}": progress.best,
    }


def _write_summary(path: Path, net: keras.Model) -> None:
    """Write the table of a net's layers."""
    lines: list[str] = []
    net.summary(line_length=110, expand_nested=True, print_fn=lambda line, *_, **__: lines.append(line))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


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

    def __init__(
        self, job: TrainingJob, config: RunConfig, folder: Path, progress: Progress, shown: RunProgress
    ) -> None:
        super().__init__()
        self._shown = shown
        self._job, self._config, self._folder, self._progress = job, config, folder, progress
        self._log = RunLog(folder, job.error_label)
        self._start = 0.0

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
        self._log.write(progress.rows, _facts(job, config, progress))
        self._shown.print_epoch(row)
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
