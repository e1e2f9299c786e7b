"""Progress of a run: one bar over all its epochs on a terminal, else one line per epoch."""

import sys
from datetime import timedelta
from time import perf_counter
from typing import Any

import keras
from tqdm import tqdm

from training.engine.checkpoints import LogRow


class RunProgress(keras.callbacks.Callback):  # type: ignore[misc] # keras has no types
    """Shows epoch, step, loss and the time left, and prints the metrics of each epoch.

    The time left is that to the last epoch, whatever the patience.

    Args:
        epochs: the last epoch of the run.
        steps: batches per epoch.
        done: epochs that an earlier start has done.
    """

    def __init__(self, epochs: int, steps: int, done: int = 0) -> None:
        super().__init__()
        self._epochs, self._done = epochs, done
        self._start = perf_counter()
        self._bar = tqdm(
            total=epochs * steps,
            initial=done * steps,
            unit="step",
            dynamic_ncols=True,
            disable=not sys.stdout.isatty(),
            file=sys.stdout,
            leave=False,
        )

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Name the epoch."""
        self._bar.set_description(f"epoch {epoch + 1}/{self._epochs}", refresh=False)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Advance the bar; the loss is read only when the bar is drawn."""
        if self._bar.update() and logs:
            self._bar.set_postfix_str(f"loss {float(logs['loss']):.4g}", refresh=False)

    def print_epoch(self, row: LogRow) -> None:
        """Print the metrics of an epoch, and the time left."""
        values = {name: value for name, value in row.items() if name != "epoch"}
        epoch = int(row["epoch"])
        pace = (perf_counter() - self._start) / (epoch - self._done)
        left = timedelta(seconds=round(pace * (self._epochs - epoch)))
        text = "  ".join(f"{name} {value:.5g}" for name, value in values.items())
        tqdm.write(f"epoch {epoch}/{self._epochs}  {text}  left {left}", file=sys.stdout)
        sys.stdout.flush()

    def on_train_end(self, logs: Any = None) -> None:
        """Remove the bar."""
        self._bar.close()
