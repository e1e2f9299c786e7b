"""Training of any net, on a net of two numbers with a known loss and known validation metrics."""

import csv
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from numpy import ndarray

from tests.training.batches import assert_equal
from tests.training.runs import FinishedRun, assert_same_run, interrupted_after
from training.config.registry import BEST_WEIGHTS, RunError
from training.config.schema import RunConfig
from training.data.batches.epochs import Batch, EpochBatches
from training.engine import checkpoints
from training.engine.checkpoints import LogRow, Progress
from training.engine.fit import TrainingJob, check_data, check_folder, fit
from training.engine.optimizer import optimizer
from training.engine.run_log import RunLog

CONFIG = RunConfig(
    name="one",
    size=1,
    epochs=4,
    batch=1,
    learning_rate=0.1,
    final_learning_rate=0.01,
    warmup_epochs=1,
    ema=0.8,
)
STEPS = 2


class Numbers(EpochBatches):
    """Batches of one number each. Its reciprocal is the label."""

    def make(self, plan: None, rng: np.random.Generator, index: int) -> Batch:
        value = rng.uniform(1, 2, (1, 1)).astype(np.float32)
        return value, 1 / value


def label(epoch: int, index: int) -> float:
    """Return the label of a batch."""
    return float(1 / np.random.default_rng((CONFIG.seed, epoch, index)).uniform(1, 2))


def net_of_two_numbers() -> keras.Model:
    number = keras.Input((1,))
    return keras.Model(number, layers.Dense(1, kernel_initializer="ones")(number))


def label_alone(labels: Any, outputs: Any) -> Any:
    """Return the label as the loss, with the gradient of the output."""
    return ops.mean(labels + outputs - ops.stop_gradient(outputs))


class Trained:
    """A net whose metrics after each epoch are known. Records the weights at each validation.

    The net runs eagerly unless it is compiled to a graph, which takes seconds.
    """

    def __init__(
        self, metrics: dict[str, list[float]], config: RunConfig = CONFIG, graph: bool = False
    ) -> None:
        self.config, self.metrics = config, metrics
        self.net = net_of_two_numbers()
        self.net.compile(optimizer(config, STEPS), label_alone, run_eagerly=not graph)
        self.validated: list[list[ndarray]] = []

    def validate(self) -> LogRow:
        self.validated.append(self.net.get_weights())
        epoch = int(self.net.optimizer.iterations) // STEPS
        return {f"validation_{name}": values[epoch - 1] for name, values in self.metrics.items()}

    def run(self, folder: Path, *, resume: bool = False, choose_by: str = "validation_error") -> Progress:
        facts: dict[str, object] = {"data": {"sha256": "a"}}
        batches = Numbers(self.config, STEPS)
        job = TrainingJob(self.net, self.net, batches, self.validate, facts, choose_by)
        return fit(job, self.config, folder, resume)


def weights_in_checkpoint(folder: Path) -> list[ndarray]:
    with np.load(folder / checkpoints.FILE) as saved:
        return [saved["net0"], saved["net1"]]


def test_a_run_writes_its_log(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"epochs": 3, "validate_every": 2})
    trained = Trained({"error": [9, 0.3, 0.2], "loss": [9, 0.6, 0.5]}, config)
    progress = trained.run(tmp_path)
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    means = [np.mean([label(epoch, i) for i in range(STEPS)]) for epoch in range(3)]
    assert [float(row["loss"]) for row in rows] == pytest.approx(means, rel=1e-6)
    assert [row["validation_error"] for row in rows] == ["", "0.3", "0.2"]
    assert float(rows[-1]["learning_rate"]) == pytest.approx(0.01)
    assert [row["epoch"] for row in progress.rows] == [1, 2, 3]
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["config"] == config.model_dump()
    assert facts["data"] == {"sha256": "a"}
    assert (facts["parameters"], facts["precision"]) == (2, "float32")
    assert facts["epochs"] == facts["best_epoch"] == 3
    assert facts["best_validation_error"] == progress.best == 0.2
    assert facts["seconds"] == round(sum(row["seconds"] for row in progress.rows))
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert list((tmp_path / "tensorboard").iterdir())


@pytest.mark.usefixtures("without_curves")
@pytest.mark.parametrize(("metric", "best"), [("error", 2), ("loss", 3), ("rmse", 1)])
def test_the_chosen_metric_selects_the_best_weights(tmp_path: Path, metric: str, best: int) -> None:
    metrics = {"error": [0.4, 0.1, 0.3, 0.2], "loss": [4.0, 3, 1, 2], "rmse": [1.0, 2, 1, 3]}
    trained = Trained(metrics)
    progress = trained.run(tmp_path, choose_by=f"validation_{metric}")
    least = min(metrics[metric])
    assert (progress.best, progress.best_epoch) == (least, best)
    assert json.loads((tmp_path / "run.json").read_text())[f"best_validation_{metric}"] == least
    kept = net_of_two_numbers()
    kept.load_weights(tmp_path / BEST_WEIGHTS)
    assert_equal(kept.get_weights(), trained.validated[best - 1])


@pytest.mark.usefixtures("without_curves")
def test_the_averaged_weights_are_validated(tmp_path: Path) -> None:
    trained = Trained({"error": [0.5]}, CONFIG.model_copy(update={"epochs": 1, "warmup_epochs": 0}))
    trained.run(tmp_path)
    raw, average = weights_in_checkpoint(tmp_path)[0].item(), trained.validated[0][0].item()
    # Adam's first step is the rate, 0.1, from 1; the average starts there, with a momentum of 0.8.
    assert raw < average < 0.9
    assert average == pytest.approx(0.8 * 0.9 + 0.2 * raw, abs=1e-5)


@pytest.mark.usefixtures("without_curves")
def test_training_continues_from_the_raw_weights(tmp_path: Path) -> None:
    for name, ema in (("averaged", 0.8), ("raw", 0.0)):
        Trained({"error": [1.0] * 4}, CONFIG.model_copy(update={"ema": ema})).run(tmp_path / name)
    assert_equal(weights_in_checkpoint(tmp_path / "averaged"), weights_in_checkpoint(tmp_path / "raw"))


@pytest.mark.usefixtures("without_curves")
def test_a_resumed_run_equals_an_unbroken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = {"error": [0.4, 0.1, 0.3, 0.2]}
    first = Trained(metrics, graph=True)
    whole = FinishedRun(first.run(tmp_path / "whole"), tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "write", interrupted_after(2))
        with pytest.raises(KeyboardInterrupt):
            Trained(metrics, graph=True).run(tmp_path / "broken")
    second = Trained(metrics, graph=True)
    resumed = FinishedRun(second.run(tmp_path / "broken", resume=True), tmp_path / "broken")
    assert_same_run(whole, resumed)
    for expected, weights in zip(first.validated[2:], second.validated, strict=True):
        assert_equal(expected, weights)


@pytest.mark.usefixtures("without_curves")
def test_a_run_without_improvement_stops_and_stays_stopped(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"epochs": 9, "patience": 2})
    metrics = {"error": [0.4, 0.3, 0.3, 0.3, 0.1, 0.1, 0.1, 0.1, 0.1]}
    assert Trained(metrics, config).run(tmp_path).epoch == 4
    again = Trained(metrics, config)
    assert again.run(tmp_path, resume=True).epoch == 4
    assert again.validated == []


@pytest.mark.usefixtures("without_curves")
def test_a_run_that_was_killed_before_its_last_log_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = {"error": [0.4, 0.1, 0.3, 0.05]}
    write = RunLog.write

    def killed(self: RunLog, rows: list[LogRow], facts: dict[str, object]) -> None:
        if len(rows) == CONFIG.epochs:
            raise KeyboardInterrupt
        write(self, rows, facts)

    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            Trained(metrics).run(tmp_path)
    progress = Trained(metrics).run(tmp_path, resume=True)
    facts = json.loads((tmp_path / "run.json").read_text())
    assert (facts["epochs"], facts["best_epoch"], facts["best_validation_error"]) == (4, 4, 0.05)
    assert facts["seconds"] == round(sum(row["seconds"] for row in progress.rows))
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]


@pytest.mark.usefixtures("without_curves")
def test_the_log_of_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    metrics = {"error": [0.4, 0.1, 0.3, 0.2]}
    Trained(metrics).run(tmp_path)
    log = ["run.json", "log.csv", *(f"tensorboard/{p.name}" for p in (tmp_path / "tensorboard").iterdir())]
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in log}
    Trained(metrics).run(tmp_path, resume=True)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in log} == before
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1


@pytest.mark.usefixtures("without_curves")
def test_a_finished_run_continues_to_a_later_last_epoch(tmp_path: Path) -> None:
    metrics = {"error": [0.4, 0.3, 0.2, 0.1]}
    Trained(metrics, CONFIG.model_copy(update={"epochs": 2})).run(tmp_path)
    longer = Trained(metrics)
    progress = longer.run(tmp_path, resume=True)
    assert [row["epoch"] for row in progress.rows] == [1, 2, 3, 4]
    assert len(longer.validated) == 2


def begun(folder: Path, digest: str) -> Path:
    """Return the folder of a run on data with the given hash."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / checkpoints.FILE).write_bytes(b"")
    (folder / "run.json").write_text(json.dumps({"config": {}, "data": {"sha256": digest}}))
    return folder


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    folder = begun(tmp_path / "runs" / "one", "a")
    with pytest.raises(RunError, match=r"already holds a run\. Give --resume to continue it"):
        check_folder(folder, False)
    check_folder(folder, True)
    check_data(folder, "a")


def test_a_run_is_not_resumed_on_other_data(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds a run on other data"):
        check_data(begun(tmp_path, "a"), "b")


def test_without_a_run_there_is_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"holds no run to continue: it has no run\.json"):
        check_folder(tmp_path / "none", True)
    assert not (tmp_path / "none").exists()


def test_a_run_that_wrote_no_epoch_starts_again(tmp_path: Path) -> None:
    (tmp_path / checkpoints.FILE).write_bytes(b"")
    check_folder(tmp_path, False)
    (tmp_path / checkpoints.FILE).unlink()
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(RunError, match=r"it has no checkpoint\.npz"):
        check_folder(tmp_path, True)
