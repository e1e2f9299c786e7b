"""Progress of a run on a terminal and elsewhere."""

import io
import sys

import pytest

from training.engine import progress
from training.engine.progress import RunProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the progress sees, in seconds."""
    now = [0.0]
    monkeypatch.setattr(progress, "perf_counter", lambda: now[0])
    return now


def train(shown: RunProgress, clock: list[float], first: int, epochs: int) -> None:
    for epoch in range(first, epochs):
        shown.on_epoch_begin(epoch)
        for step in range(5):
            shown.on_train_batch_end(step, {"loss": 0.5})
        clock[0] += 60
        shown.print_epoch({"epoch": epoch + 1, "loss": 0.5, "validation_error": 0.25})
    shown.on_train_end()


def test_a_line_per_epoch_has_metrics_and_the_time_left(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    train(RunProgress(4, 5), clock, 0, 4)
    assert capsys.readouterr() == (
        "epoch 1/4  loss 0.5  validation_error 0.25  left 0:03:00\n"
        "epoch 2/4  loss 0.5  validation_error 0.25  left 0:02:00\n"
        "epoch 3/4  loss 0.5  validation_error 0.25  left 0:01:00\n"
        "epoch 4/4  loss 0.5  validation_error 0.25  left 0:00:00\n",
        "",
    )


def test_the_time_left_of_a_resumed_run_counts_its_own_epochs(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    train(RunProgress(12, 5, done=10), clock, 10, 11)
    assert capsys.readouterr().out == "epoch 11/12  loss 0.5  validation_error 0.25  left 0:01:00\n"


def test_a_terminal_gets_one_bar_over_all_epochs(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    shown = RunProgress(12, 5, done=10)
    monkeypatch.setattr(shown._bar, "mininterval", 0)
    monkeypatch.setattr(shown._bar, "miniters", 0)
    train(shown, clock, 10, 12)
    text = terminal.getvalue()
    assert "50/60" in text
    assert "60/60" in text
    assert "epoch 11/12" in text
    assert "loss 0.5" in text
    assert text.count("epoch 12/12  loss 0.5  validation_error 0.25  left 0:00:00\n") == 1
