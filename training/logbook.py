"""What a run leaves behind for people: CSV, learning curves, TensorBoard events and `run.json`."""

import csv
import json
import time
from pathlib import Path

from matplotlib.figure import Figure
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from training.checkpoint import Row

CURVES = ("loss", "validation_loss", "validation_error")


class Logbook:
    """The log of one run, in its folder. Files other than events are rewritten whole after every epoch."""

    def __init__(self, folder: Path, error: str = "normalised mean error on validation") -> None:
        self._folder = folder
        self._error = error
        self._events = EventFileWriter(str(folder / "tensorboard"))

    def write(self, rows: list[Row], facts: dict[str, object]) -> None:
        """Everything known after an epoch: `rows` by epoch, the last one new, and the run's facts."""
        self._csv(rows)
        self._curves(rows)
        values = [Summary.Value(tag=k, simple_value=v) for k, v in rows[-1].items() if k != "epoch"]
        step = int(rows[-1]["epoch"])
        self._events.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))
        self._events.flush()
        self._replace("run.json", json.dumps(facts, indent=2) + "\n")

    def close(self) -> None:
        """Ends the event file."""
        self._events.close()

    def _csv(self, rows: list[Row]) -> None:
        draft = self._folder / "log.csv.part"
        with draft.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(k for row in rows for k in row)))
            writer.writeheader()
            writer.writerows(rows)
        draft.replace(self._folder / "log.csv")

    def _curves(self, rows: list[Row]) -> None:
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        left = figure.subplots()
        right = left.twinx()
        for name in CURVES:
            known = [(row["epoch"], row[name]) for row in rows if name in row]
            if not known:
                continue
            axis, style = (right, "k--") if name == "validation_error" else (left, "-")
            axis.plot(*zip(*known, strict=True), style, label=name.replace("_", " "))
        left.set(xlabel="epoch", ylabel="loss", yscale="log")
        right.set_ylabel(self._error)
        figure.legend(loc="upper right", bbox_to_anchor=(0.9, 0.95))
        figure.savefig(self._folder / "curves.png", dpi=100)

    def _replace(self, name: str, text: str) -> None:
        draft = self._folder / f"{name}.part"
        draft.write_text(text)
        draft.replace(self._folder / name)
