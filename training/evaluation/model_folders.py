"""The model folders that an option names: one, or several, separated as in `PATH`."""

import os
from pathlib import Path

from app.runtime.manifest import read_manifest


def folders_of(models: Path) -> tuple[Path, ...]:
    """Return the model folders of an option such as `models:my-models`."""
    return tuple(Path(folder) for folder in str(models).split(os.pathsep))


def home_of(models: Path, model: str) -> Path:
    """Return the folder that has a model.

    Args:
        models: the option that names the folders.
        model: name of a model in one of them.
    """
    return next(
        folder for folder in folders_of(models) if model in {one.name for one in read_manifest(folder).models}
    )
