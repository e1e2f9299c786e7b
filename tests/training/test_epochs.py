"""The loop of every kind of run, on a net whose steps and measures are known, and its demands on a folder."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from numpy import ndarray

from tests.training.runs import interrupted_after, untimed
from training import checkpoint, epochs
from training.checkpoint import Progress, Row
from training.config import BEST_WEIGHTS, Schedule
from training.epochs import Course
from training.logbook import Logbook
from training.schedule import optimizer, over

SETTINGS = Schedule(
    name="one",
    size=1,
    epochs=4,
    batch=1,
    learning_rate=0.1,
    final_learning_rate=0.01,
    warmup_epochs=1,
    ema=0.8,
)


class Steps:
    """Batches that are numbers: 1 and 2 in the first epoch, 2 and 3 in the second, ..."""

    steps = 2

    def epoch(self, epoch: int) -> Iterator[tuple[Any, Any]]:
        yield from ((epoch + i, None) for i in (1, 2))


def line() -> keras.Model:
    number = keras.Input((1,))
    return keras.Model(number, layers.Dense(1, kernel_initializer="ones")(number))


class Known:
    """A net of two numbers whose gradient is its batch, and whose measures after each epoch are given."""

    def __init__(self, measures: dict[str, list[float]], settings: Schedule = SETTINGS) -> None:
        self.net = line()
        self.net.compile(optimizer(settings, Steps.steps), "mean_squared_error")
        self.net.train_on_batch = self.step
        self.settings, self.measures = settings, measures
        self.seen: list[list[ndarray]] = []

    def step(self, inputs: int, truth: None, return_dict: bool) -> dict[str, float]:
        weights = self.net.trainable_variables
        self.net.optimizer.apply([inputs * ops.ones_like(weight) for weight in weights], weights)
        return {"loss": 1 / inputs}

    def validate(self) -> Row:
        self.seen.append(self.net.get_weights())
        done = int(self.net.optimizer.iterations) // Steps.steps
        return {f"validation_{name}": values[done - 1] for name, values in self.measures.items()}

    def run(self, folder: Path, *, resume: bool = False, choose_by: str = "validation_error") -> Progress:
        epochs.check(folder, resume, "a")
        facts: dict[str, object] = {"data": {"sha256": "a"}}
        course = Course(self.net, self.net, Steps(), self.validate, facts, choose_by)
        return epochs.run(course, self.settings, folder, resume)


def assert_same(left: list[ndarray], right: list[ndarray]) -> None:
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_leaves_its_books(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 3, "validate_every": 2})
    progress = Known({"error": [9, 0.3, 0.2], "loss": [9, 0.6, 0.5]}, settings).run(tmp_path)
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [row["loss"] for row in rows] == ["0.5", str(1 / 3), "0.25"]
    assert [row["validation_error"] for row in rows] == ["", "0.3", "0.2"]
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["config"] == settings.model_dump()
    assert facts["data"] == {"sha256": "a"}
    assert (facts["parameters"], facts["precision"]) == (2, "float32")
    assert facts["epochs"] == facts["best_epoch"] == 3
    assert facts["best_validation_error"] == progress.best == 0.2
    assert facts["seconds"] == round(sum(row["seconds"] for row in progress.rows))
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert list((tmp_path / "tensorboard").iterdir())


@pytest.mark.usefixtures("without_curves")
@pytest.mark.parametrize(("choice", "best"), [("error", 2), ("loss", 3), ("rmse", 1)])
def test_the_best_weights_are_those_of_the_chosen_measure(tmp_path: Path, choice: str, best: int) -> None:
    measures = {"error": [0.4, 0.1, 0.3, 0.2], "loss": [4.0, 3, 1, 2], "rmse": [1.0, 2, 1, 3]}
    known = Known(measures)
    progress = known.run(tmp_path, choose_by=f"validation_{choice}")
    assert (progress.best, progress.best_epoch) == (min(measures[choice]), best)
    assert json.loads((tmp_path / "run.json").read_text())[f"best_validation_{choice}"] == min(
        measures[choice]
    )
    kept = line()
    kept.load_weights(tmp_path / BEST_WEIGHTS)
    assert_same(kept.get_weights(), known.seen[best - 1])


@pytest.mark.usefixtures("without_curves")
def test_the_averaged_weights_are_judged_and_the_others_go_on(tmp_path: Path) -> None:
    known = Known({"error": [0.5]}, SETTINGS.model_copy(update={"epochs": 1, "warmup_epochs": 0}))
    known.run(tmp_path)
    now, average = known.net.get_weights()[0].item(), known.seen[0][0].item()
    # Adam's first step is the rate, 0.1, from 1; the average begins there, with a momentum of 0.8.
    assert now < average < 0.9
    assert average == pytest.approx(0.8 * 0.9 + 0.2 * now, abs=1e-5)


@pytest.mark.usefixtures("without_curves")
def test_a_resumed_run_equals_an_unbroken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measures = {"error": [0.4, 0.1, 0.3, 0.2]}
    first = Known(measures)
    whole = first.run(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(Logbook, "write", interrupted_after(2))
        with pytest.raises(KeyboardInterrupt):
            Known(measures).run(tmp_path / "broken")
    second = Known(measures)
    resumed = second.run(tmp_path / "broken", resume=True)
    assert untimed(whole) == untimed(resumed)
    assert (whole.best, whole.best_epoch) == (resumed.best, resumed.best_epoch)
    for expected, found in zip(first.seen[2:], second.seen, strict=True):
        assert_same(expected, found)
    with (
        np.load(tmp_path / "whole" / checkpoint.FILE) as a,
        np.load(tmp_path / "broken" / checkpoint.FILE) as b,
    ):
        assert set(a.files) == set(b.files)
        assert_same(*([saved[name] for name in saved.files if name != "progress"] for saved in (a, b)))


@pytest.mark.usefixtures("without_curves")
def test_a_run_without_betterment_stops_and_stays_stopped(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 9, "patience": 2})
    measures = {"error": [0.4, 0.3, 0.3, 0.3, 0.1, 0.1, 0.1, 0.1, 0.1]}
    assert Known(measures, settings).run(tmp_path).epoch == 4
    assert Known(measures, settings).run(tmp_path, resume=True).epoch == 4


@pytest.mark.parametrize(
    ("epoch", "best", "ends"), [(3, 1, False), (4, 1, True), (4, 2, False), (9, 8, False), (10, 10, True)]
)
def test_a_run_ends_with_its_epochs_or_its_patience(epoch: int, best: int, ends: bool) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 10, "patience": 3})
    assert over(Progress(epoch=epoch, best_epoch=best), settings) is ends
    patient = settings.model_copy(update={"patience": 0})
    assert over(Progress(epoch=epoch, best_epoch=best), patient) is (epoch == 10)


def begun(folder: Path, digest: str) -> Path:
    """A folder that holds a run on data of that hash."""
    epochs.check(folder, False, digest)
    (folder / "checkpoint.npz").write_bytes(b"")
    (folder / "run.json").write_text(json.dumps({"data": {"sha256": digest}}))
    return folder


def test_a_run_is_not_written_over(tmp_path: Path) -> None:
    folder = begun(tmp_path / "runs" / "one", "a")
    with pytest.raises(FileExistsError, match="--resume goes on with it"):
        epochs.check(folder, False, "a")
    epochs.check(folder, True, "a")


def test_a_run_goes_on_with_its_own_data_alone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="on other data"):
        epochs.check(begun(tmp_path, "a"), True, "b")


def test_without_a_run_there_is_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        epochs.check(tmp_path, True, "a")
