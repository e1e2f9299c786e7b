"""The manifest of a model folder: `manifest.json` lists the models with their files and hashes."""

import hashlib
import json
from pathlib import Path

import onnx

from app.runtime.model_store import MANIFEST, read_manifest, sha256
from app.vision.spec import Task
from training.config.registry import RunError

Entry = dict[str, object]


def describe(path: Path) -> Entry:
    """Return the manifest's description of a file: name, size in bytes, and the hashes of file and net."""
    return {
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        "graph": _graph_sha256(path),
    }


def entries(folder: Path) -> list[Entry]:
    """Return the manifest's entries of a model folder; an empty list if it has no manifest."""
    if not (folder / MANIFEST).exists():
        return []
    return list(read_manifest(folder).model_dump(mode="json", exclude_defaults=True)["models"])


def check_replaceable(folder: Path, name: str, task: Task) -> None:
    """Check that no model of a folder has this name and another task.

    Raises:
        RunError: the name belongs to a model for another task.
    """
    for entry in entries(folder):
        if entry["name"] == name and entry["task"] != task:
            raise RunError(
                f"{folder} already has a model {name} for {entry['task']}, not {task}. Give another --name."
            )


def put(folder: Path, entry: Entry) -> None:
    """Add an entry to the manifest, or replace the one of the same name.

    An entry that replaces another is the default of its task if the other was. The other entries and their
    order stay. A missing manifest is created.

    Args:
        folder: the model folder.
        entry: the entry of a model whose files are in the folder.
    """
    known = entries(folder)
    position = next((i for i, other in enumerate(known) if other["name"] == entry["name"]), None)
    if position is None:
        write(folder, [*known, entry])
    else:
        known[position] = entry | {"default": known[position]["default"]}
        write(folder, known)


def write(folder: Path, models: list[Entry]) -> None:
    """Write the manifest of a model folder, completely or not at all."""
    part = folder / f"{MANIFEST}.part"
    part.write_text(json.dumps({"models": models}, indent=2) + "\n")
    part.replace(folder / MANIFEST)


def _graph_sha256(path: Path) -> str:
    """Return the SHA-256 of an ONNX file without its metadata: the same after another calibration."""
    model = onnx.load(path)
    del model.metadata_props[:]
    return hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
