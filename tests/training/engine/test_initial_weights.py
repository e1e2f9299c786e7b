"""The weights with which a run starts, and starts that are not possible."""

from pathlib import Path

import keras
import numpy as np
import pytest

from training.config.registry import BEST_WEIGHTS, RunError, find
from training.engine import checkpoints
from training.engine.initial_weights import load_start
from training.importers.packages import DownloadFailed

SCRATCH, IMPORTED = find("cascade_rnet_scratch"), find("cascade_rnet")


def start_from(name: str, net: keras.Model, folder: Path) -> None:
    load_start(net, SCRATCH, SCRATCH.CONFIG.model_copy(update={"start_from": name}), folder / "run")


def test_a_run_gets_the_weights_of_the_run_it_names(tmp_path: Path) -> None:
    earlier, net = SCRATCH.build(), SCRATCH.build()
    (tmp_path / "earlier").mkdir()
    checkpoints.save_weights(tmp_path / "earlier" / BEST_WEIGHTS, earlier)
    start_from("earlier", net, tmp_path)
    for weights, expected in zip(net.get_weights(), earlier.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, expected)


def test_without_a_name_the_weights_stay(tmp_path: Path) -> None:
    net = SCRATCH.build()
    before = net.get_weights()
    start_from("", net, tmp_path)
    for weights, expected in zip(net.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, expected)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("softmax", "python -m training.train softmax --data DATA --out {}"),
        ("mine", "python -m training.train RUN --name mine --data DATA"),
    ],
)
def test_a_missing_run_names_the_command_that_makes_it(name: str, command: str, tmp_path: Path) -> None:
    with pytest.raises(RunError) as refused:
        start_from(name, SCRATCH.build(), tmp_path)
    assert command.format(tmp_path) in str(refused.value)
    assert str(tmp_path / name / BEST_WEIGHTS) in str(refused.value)


def test_a_net_without_published_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="The net of cascade_rnet_scratch has no published weights"):
        start_from("imported", SCRATCH.build(), tmp_path)


def test_published_weights_that_cannot_be_fetched_are_one_line(tmp_path: Path) -> None:
    def unreachable() -> None:
        raise DownloadFailed("mtcnn", "1.0.0", "no network\nreally none")

    with pytest.raises(RunError, match="no network really none") as refused:
        load_start(IMPORTED.build(), IMPORTED, IMPORTED.CONFIG, tmp_path / "run", unreachable)
    assert "\n" not in str(refused.value)
