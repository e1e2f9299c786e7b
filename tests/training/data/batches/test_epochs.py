"""A batch is a function of the seed, the epoch and its index alone, however many threads make it."""

import threading
from typing import Any

import keras
import numpy as np
import pytest
from numpy import ndarray

from tests.training.batches import assert_equal, batches_of
from training.config.schema import RunConfig
from training.data.batches.epochs import Batch, EpochBatches
from training.engine.fit import SelectEpoch

CONFIG = RunConfig(name="one", size=1, epochs=3, batch=2, learning_rate=0.1, final_learning_rate=0.1, seed=5)
STEPS = 9


class Numbers(EpochBatches):
    """Batches of the plan's number and random numbers. Later batches are ready first."""

    def __init__(self, config: RunConfig = CONFIG, workers: int = 2) -> None:
        super().__init__(config, STEPS, workers)
        self.plans = 0
        self.threads: set[int] = set()

    def plan(self, rng: np.random.Generator) -> ndarray:
        self.plans += 1
        return rng.permutation(STEPS)

    def make(self, plan: ndarray, rng: np.random.Generator, index: int) -> Batch:
        self.threads.add(threading.get_ident())
        threading.Event().wait(0.004 * (index % 3 == 0))
        inputs = np.concatenate([[plan[index]], rng.random(CONFIG.batch - 1)]).astype(np.float32)
        return inputs[:, None], np.full((CONFIG.batch, 1), index, np.float32)


class Recorder(keras.Model):  # type: ignore[misc] # keras has no types
    """A net that records what it is trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[ndarray] = []

    def train_step(self, batch: Any) -> dict[str, float]:
        self.batches += [array.numpy() for array in batch]
        return {"loss": 0.0}


def trained_on(batches: EpochBatches, initial_epoch: int) -> list[ndarray]:
    """Return what `fit` gives a net from `initial_epoch` on."""
    net = Recorder()
    net.compile(run_eagerly=True)
    net.fit(
        batches,
        initial_epoch=initial_epoch,
        epochs=CONFIG.epochs,
        shuffle=False,
        verbose=0,
        callbacks=[SelectEpoch(batches)],
    )
    return net.batches


@pytest.mark.parametrize(("workers", "initial_epoch"), [(0, 1), (1, 1), (3, 1), (3, 0)])
def test_a_net_gets_the_same_batches_with_any_number_of_workers(workers: int, initial_epoch: int) -> None:
    expected = [
        array
        for epoch in range(initial_epoch, CONFIG.epochs)
        for batch in batches_of(Numbers(), epoch)
        for array in batch
    ]
    assert_equal(trained_on(Numbers(workers=workers), initial_epoch), expected)


def test_several_workers_make_batches_in_threads() -> None:
    batches = Numbers(workers=3)
    trained_on(batches, 2)
    assert len(batches.threads - {threading.get_ident()}) > 1


def test_the_random_numbers_are_those_of_seed_epoch_and_index() -> None:
    batches = Numbers()
    batches.set_epoch(4)
    inputs, labels = batches[6]
    order = np.random.default_rng((5, 4)).permutation(STEPS)
    drawn = np.random.default_rng((5, 4, 6)).random(1)
    np.testing.assert_array_equal(inputs[:, 0], np.array([order[6], drawn[0]], np.float32))
    assert labels.tolist() == [[6], [6]]


def test_an_epoch_is_planned_once_and_the_first_one_is_the_default() -> None:
    batches, same = Numbers(), Numbers()
    assert len(batches) == STEPS
    same.set_epoch(0)
    for index in (3, 0):
        assert_equal(batches[index], same[index])
    assert batches.plans == 1


def test_without_a_plan_the_epoch_still_counts() -> None:
    class Unplanned(EpochBatches):
        def make(self, plan: Any, rng: np.random.Generator, index: int) -> Batch:
            assert plan is None
            return rng.random(2), index

    batches = Unplanned(CONFIG, STEPS)
    batches.set_epoch(2)
    np.testing.assert_array_equal(batches[1][0], np.random.default_rng((5, 2, 1)).random(2))
