"""The record: a JSON file that keeps each section as soon as it is measured, and the report made of it."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.gpu.plan import Result

_KEYS = frozenset(
    {"state", "date", "command", "machine", "small", "seconds", "tables", "notes", "faults", "complete"}
)
"""The fields of a section in the file."""


class State(StrEnum):
    """How far a section is."""

    MEASURED = "measured"
    PARTIAL = "partial"
    FAILED = "failed"


class UnusableRecord(Exception):
    """The file cannot be continued. The message says what to do."""


class Record:
    """The record of one GPU. Each change is written at once.

    Args:
        out: folder of the files.
        name: `gpu-NAME.json` and `gpu-NAME.md` are the files.
        facts: facts about the machine, by name.
        command: the command that measures.
        titles: titles of all sections by name, in their order in the report.
        small: whether little is measured.

    Raises:
        UnusableRecord: the folder cannot be written, or there is a file that is damaged or of another GPU.
        OSError: the folder cannot be made.
    """

    def __init__(
        self,
        out: Path,
        name: str,
        facts: Mapping[str, str],
        command: str,
        titles: Mapping[str, str],
        small: bool = False,
    ) -> None:
        self.report = out / f"gpu-{name}.md"
        self._file = self.report.with_suffix(".json")
        self._facts, self._command, self._titles = dict(facts), command, titles
        self._small = small
        out.mkdir(parents=True, exist_ok=True)
        if not os.access(out, os.W_OK):
            raise UnusableRecord(f"The folder {out} cannot be written. Give another one with --out.")
        self._sections = self._read() if self._file.exists() else {}

    def is_measured(self, name: str) -> bool:
        """Return whether a section is complete, and not smaller than it shall be."""
        section = self._sections.get(name)
        return section is not None and section["state"] == State.MEASURED and self._small >= section["small"]

    def faults(self, name: str) -> list[str]:
        """Return what is missing in a section or not met, one sentence each."""
        section = self._sections[name]
        missing = [] if section["state"] == State.MEASURED else [f"{name} is not complete"]
        return [*missing, *(f"{name}: {fault}" for fault in section["faults"])]

    def keep(self, name: str, result: Result, state: State, seconds: float) -> None:
        """Keep a section, in place of an older one, and write both files.

        Args:
            name: name of the section.
            result: what it has measured.
            state: whether it is complete.
            seconds: how long it took.
        """
        self._sections[name] = {
            "state": state,
            "date": str(date.today()),
            "command": self._command,
            "machine": self._facts,
            "small": self._small,
            "seconds": round(seconds, 1),
            **_plain(asdict(result)),
        }
        ordered = {key: self._sections[key] for key in self._titles if key in self._sections}
        _replace(self._file, json.dumps({"sections": ordered}, indent=1, allow_nan=False) + "\n")
        _replace(self.report, self.text())

    def text(self) -> str:
        """Return the report in Markdown."""
        parts = ["# GPU record", *self._machines()]
        for name, title in self._titles.items():
            parts += [f"## {title}", *_paragraphs(self._sections.get(name))]
        return "\n\n".join(parts) + "\n"

    def _machines(self) -> list[str]:
        """Return the facts about the machine; about each of them, if the sections are of several."""
        groups: dict[str, list[str]] = {}
        for name in self._titles:
            if name in self._sections:
                facts = self._sections[name]["machine"]
                rows = report.table(["machine", ""], list(facts.items()))
                groups.setdefault(rows, []).append(name)
        return [
            table if len(groups) == 1 else f"Sections {', '.join(names)}:\n\n{table}"
            for table, names in groups.items()
        ]

    def _read(self) -> dict[str, dict[str, Any]]:
        remedy = "Give another --name, or move the file away."
        try:
            sections = json.loads(self._file.read_text())["sections"]
            gpus = {section["machine"].get("GPU") for section in sections.values()}
            for name, section in sections.items():
                if missing := sorted(_KEYS - section.keys()):
                    raise ValueError(f"the section {name} has no {missing[0]}")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnusableRecord(f"{self._file} cannot be read ({error}). {remedy}") from error
        if gpus - {self._facts.get("GPU")}:
            raise UnusableRecord(f"{self._file} is of another GPU: {', '.join(map(str, gpus))}. {remedy}")
        return sections


def _paragraphs(section: dict[str, Any] | None) -> list[str]:
    if section is None:
        return ["Not measured."]
    parts = []
    for table in section["tables"]:
        rows = [["not measured" if cell is None else cell for cell in row] for row in table["rows"]]
        parts += [table["title"]] if table["title"] else []
        parts.append(report.table(table["heads"], rows))
    parts += section["notes"]
    parts += [f"**Not met:** {fault}" for fault in section["faults"]]
    how = " The section is not complete." if section["state"] == State.PARTIAL else ""
    return [*parts, f"{section['date']}, {section['seconds']:.0f} s; `{section['command']}`.{how}"]


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: numbers that are not finite, which it does not have, become text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    return value


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text)
    os.replace(draft, path)
