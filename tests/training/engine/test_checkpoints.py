"""When a run ends, and checkpoints of a net."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from training.config.registry import RunError
from training.engine import checkpoints
from training.engine.checkpoints import AveragedWeights, Progress


@pytest.mark.parametrize(
    ("epoch", "best", "ends"), [(3, 1, False), (4, 1, True), (4, 2, False), (9, 8, False), (10, 10, True)]
)
def test_a_run_ends_with_its_epochs_or_its_patience(epoch: int, best: int, ends: bool) -> None:
    progress = Progress(epoch=epoch, best_epoch=best)
    assert progress.finished(10, patience=3) is ends
    assert progress.finished(10, patience=0) is (epoch == 10)


def net(ema: bool = False) -> keras.Model:
    number = keras.Input((1,))
    out = keras.Model(number, layers.Dense(1)(layers.Dropout(0.5)(number)))
    out.compile(keras.optimizers.AdamW(0.1, use_ema=ema), "mean_squared_error", run_eagerly=True)
    return out


def test_a_checkpoint_restores_weights_optimizer_random_state_and_progress(tmp_path: Path) -> None:
    before = net(ema=True)
    before.train_on_batch(np.ones((4, 1)), np.zeros((4, 1)))
    rows = [{"epoch": 1.0, "loss": 0.1 + 0.2}]
    checkpoints.save(tmp_path, before, Progress(1, 0.25, 1, rows))
    after = net(ema=True)
    assert checkpoints.load(tmp_path, after) == Progress(1, 0.25, 1, rows)
    for restored, saved in zip(
        [*after.variables, *after.optimizer.variables],
        [*before.variables, *before.optimizer.variables],
        strict=True,
    ):
        np.testing.assert_array_equal(np.asarray(restored), np.asarray(saved))
    assert list(tmp_path.iterdir()) == [tmp_path / checkpoints.FILE]


def test_a_folder_without_a_checkpoint_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        checkpoints.load(tmp_path, net())


@pytest.mark.parametrize("kept", [0, 10, 400])
def test_a_damaged_checkpoint_is_an_error(kept: int, tmp_path: Path) -> None:
    checkpoints.save(tmp_path, net(), Progress())
    path = tmp_path / checkpoints.FILE
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(RunError, match=r"checkpoint\.npz is damaged"):
        checkpoints.load(tmp_path, net())


def test_the_checkpoint_of_another_net_is_an_error(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, net(), Progress())
    for other in (net(ema=True), wide()):
        before = other.get_weights()
        with pytest.raises(RunError, match=r"checkpoint\.npz is the checkpoint of another net"):
            checkpoints.load(tmp_path, other)
        for value, now in zip(before, other.get_weights(), strict=True):
            np.testing.assert_array_equal(now, value)


def wide() -> keras.Model:
    """Return the net with as many variables, of another shape."""
    number = keras.Input((1,))
    out = keras.Model(number, layers.Dense(2)(layers.Dropout(0.5)(number)))
    out.compile(keras.optimizers.AdamW(0.1), "mean_squared_error", run_eagerly=True)
    return out


def test_saved_weights_are_those_of_the_net_alone(tmp_path: Path) -> None:
    trained = net()
    trained.train_on_batch(np.ones((4, 1)), np.zeros((4, 1)))
    checkpoints.save_weights(tmp_path / "best.weights.h5", trained)
    number = keras.Input((1,))
    plain = keras.Model(number, layers.Dense(1)(layers.Dropout(0.5)(number)))  # not compiled
    plain.load_weights(tmp_path / "best.weights.h5")
    np.testing.assert_array_equal(plain.get_weights()[0], trained.get_weights()[0])
    assert list(tmp_path.iterdir()) == [tmp_path / "best.weights.h5"]


@pytest.mark.parametrize("ema", [False, True])
def test_averaged_weights_are_put_back_after_an_error_too(ema: bool) -> None:
    trained = net(ema)
    for _ in range(3):
        trained.train_on_batch(np.ones((4, 1)), np.zeros((4, 1)))
    raw = trained.get_weights()

    def interrupted_validation() -> None:
        with AveragedWeights(trained):
            assert np.array_equal(trained.get_weights()[0], raw[0]) is not ema
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_validation()
    for now, before in zip(trained.get_weights(), raw, strict=True):
        np.testing.assert_array_equal(now, before)
