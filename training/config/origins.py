"""The origin of a run's weights: its data sets and people, and those of the runs that it started from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.config.registry import RUN_FILE, RunError, config_of
from training.config.schema import RunConfig

START = "start"
"""Key of the origin of the initial weights in `run.json`."""

ROWS_OF_300W = "rows_of_300w"
"""Key of the number of rows in Kaggle's format that were made from 300-W, in `prepare.json`."""

_PUBLISHED = ("", "imported")


@dataclass(frozen=True)
class Origin:
    """What the weights of a run were made from.

    Attributes:
        sources: the data sets, as `prepare.json` names them.
        people: the people of an embedding net, as `SET/PERSON`, including those that its weights were chosen
            on; None if they are not recorded.
        unknown_start: name of the run whose weights were the initial ones if its data is not recorded; else
            empty.
    """

    sources: tuple[str, ...]
    people: frozenset[str] | None
    unknown_start: str = ""

    def after(self, start: "Origin") -> "Origin":
        """Return the origin of a run with this data that started from the weights of another run."""
        sources = tuple(dict.fromkeys((*self.sources, *start.sources)))
        known = self.people is not None and start.people is not None
        people = (self.people or frozenset()) | (start.people or frozenset()) if known else None
        return Origin(sources, people, start.unknown_start)


def origin_of(run: Path) -> Origin:
    """Return the origin of the weights of a run.

    The run records the origin of its initial weights. If it is older than that record, the folder of the run
    that it started from is read, if it is beside the run.

    Raises:
        RunError: `run.json` is not the record of a run.
        FileNotFoundError: the folder holds no run.
    """
    config = config_of(run, RunConfig)
    facts: Mapping[str, Any] = json.loads((run / RUN_FILE).read_text())
    data = facts.get("data", {})
    if "sha256" not in data:
        raise RunError(f"{run / RUN_FILE} does not say on which data the run was trained.")
    names = [data.get(split, {}).get("names") for split in ("train", "validation")]
    people = None if None in names else frozenset(name for split in names for name in split)
    own = Origin(sources_of(data), people)
    if config.start_from in _PUBLISHED:
        return own
    if START in facts:
        recorded = facts[START]
        known = None if recorded["people"] is None else frozenset(recorded["people"])
        return own.after(Origin(tuple(recorded["sources"]), known, recorded["unknown_start"]))
    return own.after(_beside(run, config))


def sources_of(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the data sets of a prepared set.

    Args:
        data: the contents of its `prepare.json`, which `run.json` has under `data`.
    """
    sources = tuple(data.get("sources", ("pseudolabels",)))  # older pseudo-labels do not name theirs
    if "kaggle15" in sources and data.get(ROWS_OF_300W) != 0:
        sources = (*sources, "300w")
    return tuple(dict.fromkeys(sources))


def start_facts(config: RunConfig, run: Path, resume: bool) -> dict[str, object]:
    """Return what `run.json` records of the initial weights; an empty dict if no run made them.

    Args:
        config: the run.
        run: folder of the run. That of the run of `start_from` is beside it.
        resume: whether the run goes on, so that `run.json` has the record.
    """
    if config.start_from in _PUBLISHED:
        return {}
    if resume:
        facts = json.loads((run / RUN_FILE).read_text())
        return {START: facts[START]} if START in facts else {}
    start = _beside(run, config)
    people = None if start.people is None else sorted(start.people)
    return {
        START: {"sources": list(start.sources), "people": people, "unknown_start": start.unknown_start},
    }


def _beside(run: Path, config: RunConfig) -> Origin:
    start = run.parent / config.start_from
    return origin_of(start) if (start / RUN_FILE).exists() else Origin((), None, config.start_from)
