"""The manifest of a model folder: `manifest.json` lists the models with their files and hashes."""

import hashlib
import json
import re
from collections.abc import Collection
from pathlib import Path

import onnx

from app.runtime.manifest import MANIFEST, ModelEntry, read_manifest, sha256
from app.vision.spec import Task
from training.config.registry import RunError

Entry = dict[str, object]

SHIPPED = Path(__file__).resolve().parents[2] / "models"
"""The folder of the shipped models."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


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


def weights_of(folder: Path, name: str) -> str | None:
    """Return the SHA-256 of the weights of a model of a folder; None if it is not recorded or not there."""
    models = read_manifest(folder).models if (folder / MANIFEST).exists() else ()
    return next((model.weights for model in models if model.name == name), None)


def check_name(folder: Path, name: str, task: Task, files: Collection[str]) -> None:
    """Check that a model can be written into a model folder.

    Its name and those of its files must not be those of a shipped model, so that the folder can be served
    beside the shipped one, nor those of another model of the folder.

    Args:
        folder: the model folder, which need not exist.
        name: name of the model.
        task: its task.
        files: names of its ONNX files.

    Raises:
        RunError: the name is invalid, or belongs to another model.
        BadModel: a manifest is invalid.
    """
    if not _NAME.fullmatch(name):
        raise RunError(
            f"{name!r} cannot be the name of a model. Give a --name that begins with a letter or digit, and "
            "has at most 64 letters, digits, _ and -."
        )
    if folder.resolve() != SHIPPED and (shipped := _owner(SHIPPED, name, files)):
        raise RunError(f"{name} is a name that the shipped model {shipped.name} uses. Give another --name.")
    other = _owner(folder, name, files)
    if other is not None and (other.name, other.task) != (name, task):
        raise RunError(
            f"{folder} already has a model {other.name} for {other.task}, with this name or such a file. "
            "Give another --name."
        )


def _owner(folder: Path, name: str, files: Collection[str]) -> ModelEntry | None:
    """Return the model of a folder that has one of the files, else the one that has the name."""
    models = read_manifest(folder).models if (folder / MANIFEST).exists() else ()
    others = (m for m in models if m.name != name and any(f.file in files for f in (*m.files, *m.int8)))
    return next(others, None) or next((model for model in models if model.name == name), None)


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
