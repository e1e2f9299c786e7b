"""The log of a run for people: CSV, learning curves, TensorBoard events and `run.json`."""

import csv
import json
import time
from pathlib import Path

from matplotlib.figure import Figure
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from training.data.storage.whole_file import whole_file
from training.engine.checkpoints import LogRow

CURVES = ("loss", "validation_loss", "validation_error")


class RunLog:
    """The log of a run in its folder. Every file except the events is rewritten after each epoch."""

    def __init__(self, folder: Path, error_label: str = "normalised mean error on validation") -> None:
        self._folder = folder
        self._error_label = error_label
        self._events = EventFileWriter(str(folder / "tensorboard"))

    def write(self, rows: list[LogRow], facts: dict[str, object]) -> None:
        """Write the log after an epoch.

        Args:
            rows: metrics of all epochs; the last one is new.
            facts: the contents of `run.json`.
        """
        self._csv(rows)
        self._curves(rows)
        values = [Summary.Value(tag=k, simple_value=v) for k, v in rows[-1].items() if k != "epoch"]
        step = int(rows[-1]["epoch"])
        self._events.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))
        self._events.flush()
        self._replace("run.json", json.dumps(facts, indent=2) + "\n")

    def close(self) -> None:
        """Close the event file."""
        self._events.close()

    def _csv(self, rows: list[LogRow]) -> None:
        with whole_file(self._folder / "log.csv") as part, part.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(k for row in rows for k in row)))
            writer.writeheader()
            writer.writerows(rows)

    def _curves(self, rows: list[LogRow]) -> None:
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        left = figure.subplots()
        right = left.twinx()
        for name in CURVES:
            known = [(row["epoch"], row[name]) for row in rows if name in row]
            if not known:
                continue
            axis, style = (right, "k--") if name == "validation_error" else (left, "-")
            axis.plot(*zip(*known, strict=True), style, label=name.replace("_", " "))
        positive = any(row.get(name, 0) > 0 for row in rows for name in CURVES[:2])
        left.set(xlabel="epoch", ylabel="loss", yscale="log" if positive else "linear")
        right.set_ylabel(self._error_label)
        figure.legend(loc="upper right", bbox_to_anchor=(0.9, 0.95))
        with whole_file(self._folder / "curves.png") as part:
            figure.savefig(part, dpi=100)

    def _replace(self, name: str, text: str) -> None:
        with whole_file(self._folder / name) as part:
            part.write_text(text)
