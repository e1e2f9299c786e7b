"""Measure the time of a training step with and without what speeds it up: no XLA, and kept memory.

    python -m training.studies.step_times

Each net is trained on one batch of random numbers. The nets are those of the runs in `RUNS`.
"""

import time
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
import typer

from training.config import registry
from training.engine.allocator import keep_freed_memory
from training.engine.optimizer import optimizer
from training.evaluation.user_errors import one_line_errors
from training.reports import markdown

RUNS = ("mobilenet15", "cnn15", "siamese_distilled", "softmax", "mtcnn_here_onet")


def step_ms(run: registry.Run, xla: bool, seconds: float) -> float:
    """Return the median time of a step of a run in milliseconds, without the first one.

    Args:
        run: builds the net; its config has the batch.
        xla: compile the step with XLA.
        seconds: time for which steps are made.
    """
    net, config = run.build(), run.CONFIG
    rng = np.random.default_rng(0)

    def numbers(shape: tuple[int | None, ...]) -> Any:
        return rng.random((config.batch, *(side or 1 for side in shape[1:])), np.float32)

    images, labels = numbers(net.input_shape), numbers(net.output_shape)
    net.compile(optimizer(config, 1000), "mean_squared_error", jit_compile=xla)
    net.train_on_batch(images, labels)
    times: list[float] = []
    while sum(times) < seconds:
        start = time.perf_counter()
        net.train_on_batch(images, labels)
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def table(rows: dict[str, list[float]]) -> str:
    """Return the times of each run as a table: with XLA, without it, and with kept memory as well."""
    head = ["run", "batch", "XLA", "without XLA", "without XLA, memory kept", "times faster"]
    cells = []
    for name, times in rows.items():
        batch, faster = registry.find(name).CONFIG.batch, times[0] / times[-1]
        cells.append([f"`{name}`", str(batch), *(f"{ms:.0f} ms" for ms in times), f"{faster:.1f}"])
    return markdown.table(head, cells)


def main(
    seconds: Annotated[float, typer.Option(help="Time for each net and setting.")] = 20.0,
    page: Annotated[Path, typer.Option(help="The page whose table is replaced.")] = Path(
        "docs/experiments/training-speed.md"
    ),
) -> None:
    """Measure all nets, and write the table."""
    rows: dict[str, list[float]] = {}
    for name in RUNS:
        run = registry.find(name)
        rows[name] = [step_ms(run, xla, seconds) for xla in (True, False)]
        keras.backend.clear_session()
    keep_freed_memory()
    for name, times in rows.items():
        times.append(step_ms(registry.find(name), False, seconds))
        keras.backend.clear_session()
    text = markdown.dated(table(rows))
    print(text)
    markdown.fill(page, "step-times", text)


if __name__ == "__main__":
    with one_line_errors():
        typer.run(main)
