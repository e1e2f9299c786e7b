"""Small model folders, made of links to the models of this checkout."""

import json
from collections.abc import Iterable
from pathlib import Path

from app.runtime.manifest import MANIFEST, ModelEntry, read_manifest

MODELS = Path("models").resolve()


def entries(names: Iterable[str]) -> list[ModelEntry]:
    """Return the manifest's entries of these models, in the manifest's order."""
    wanted = set(names)
    found = [entry for entry in read_manifest(MODELS).models if entry.name in wanted]
    assert {entry.name for entry in found} == wanted
    return found


def write_store(folder: Path, listed: Iterable[str], present: Iterable[str] | None = None) -> Path:
    """Write a model folder and return it.

    Args:
        folder: an empty folder.
        listed: names of the models in its manifest.
        present: names of the models whose files it has; all that are listed if None.
    """
    models = entries(listed)
    manifest = {"models": [entry.model_dump(mode="json") for entry in models]}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    for entry in models if present is None else entries(present):
        for file in (*entry.files, *entry.int8):
            (folder / file.file).symlink_to(MODELS / file.file)
    return folder
