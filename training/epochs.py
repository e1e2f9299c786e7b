"""The epochs of every run: batches, validation of the averaged weights, the best of them, a checkpoint."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keras
from tqdm import tqdm

from training import checkpoint
from training.checkpoint import Progress, Row
from training.config import BEST_WEIGHTS, RUN_FILE, RunError, Schedule
from training.logbook import Logbook
from training.schedule import over


class Source(Protocol):
    """Batches by epoch, each what the net takes and what it is held against."""

    steps: int

    def epoch(self, epoch: int) -> Iterator[tuple[Any, Any]]: ...


@dataclass(frozen=True)
class Course:
    """A compiled net that learns from `source`, and how it is judged after an epoch.

    Of `product`, the net itself or a part of it, the weights with the least `choose_by` are kept; `validate`
    answers with that figure among others. `error` is its name on the curves, `facts` what `run.json` says
    beside the config and the figures.
    """

    net: keras.Model
    product: keras.Model
    source: Source
    validate: Callable[[], Row]
    facts: dict[str, object]
    choose_by: str = "validation_error"
    error: str = "normalised mean error on validation"


def check(folder: Path, resume: bool, digest: object) -> None:
    """Makes the run's folder.

    Raises FileExistsError where it holds a run and `resume` is not asked for, and RunError where it is,
    with data of another hash.
    """
    if not resume and (folder / checkpoint.FILE).exists():
        raise FileExistsError(f"{folder} holds a run: --resume goes on with it, --out names another place")
    if resume and json.loads((folder / RUN_FILE).read_text())["data"].get("sha256") != digest:
        raise RunError(f"{folder} holds a run on other data: --data with its own goes on with it")
    folder.mkdir(parents=True, exist_ok=True)


def run(course: Course, settings: Schedule, folder: Path, resume: bool) -> Progress:
    """Trains to the settings' last epoch, or till their patience ends, in `folder`; answers how it went."""
    net, source = course.net, course.source
    if not net.optimizer.built:
        # Variables that the first step made would have Keras trace it twice.
        net.optimizer.build(net.trainable_variables)
    progress = checkpoint.load(folder, net) if resume else Progress()
    facts: dict[str, object] = {
        "config": settings.model_dump(),
        "precision": keras.config.dtype_policy().name,
        "backend": f"{keras.backend.backend()}, keras {keras.__version__}",
        "parameters": course.product.count_params(),
        **course.facts,
    }
    book = Logbook(folder, course.error)
    while not over(progress, settings):
        epoch, start = progress.epoch, time.perf_counter()
        net.reset_metrics()
        row: Row = {"epoch": epoch + 1, "loss": float("nan")}
        bar = tqdm(source.epoch(epoch), f"epoch {epoch + 1}", source.steps, leave=False, disable=None)
        for inputs, truth in bar:
            row |= {k: float(v) for k, v in net.train_on_batch(inputs, truth, return_dict=True).items()}
            bar.set_postfix(loss=f"{row['loss']:.3g}")
        row["learning_rate"] = float(net.optimizer.learning_rate)

        if (epoch + 1) % settings.validate_every == 0 or epoch + 1 == settings.epochs:
            with checkpoint.Averaged(net):
                row |= course.validate()
                if row[course.choose_by] < progress.best:
                    progress.best, progress.best_epoch = row[course.choose_by], epoch + 1
                    checkpoint.save_best(folder / BEST_WEIGHTS, course.product)
        row["seconds"] = time.perf_counter() - start

        progress.rows.append(row)
        progress.epoch = epoch + 1
        checkpoint.save(folder, net, progress)
        facts |= {"epochs": progress.epoch, "seconds": round(sum(r["seconds"] for r in progress.rows))}
        facts |= {"best_epoch": progress.best_epoch, f"best_{course.choose_by}": progress.best}
        book.write(progress.rows, facts)
        print("  ".join(f"{k} {v:.5g}" for k, v in row.items()), flush=True)
    book.close()
    return progress
