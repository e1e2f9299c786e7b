"""Manifests: each model folder has a `manifest.json`, which lists its models with their files and sha256."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from app.errors import BadModel, UnknownModel
from app.runtime.precision import Precision
from app.vision.spec import Task

MANIFEST = "manifest.json"
"""File name of the manifest in a model folder."""

Folders = Path | Sequence[Path]
"""A model folder, or several, whose models are used side by side."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Entry):
    """An ONNX file."""

    file: str = Field(
        pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$",
        description="Name of the file in the model folder, without a path.",
    )
    bytes: int = Field(description="Size of the file in bytes.")
    sha256: str = Field(description="SHA-256 of the file, hexadecimal.")
    graph: str | None = Field(
        None,
        description="SHA-256 of the net without the metadata of the file, which has the calibration.",
    )


class ModelEntry(_Entry):
    """A named model: a single net, the stages of a detector, or a combination of other models."""

    name: str = Field(description="Name of the model.")
    task: Task = Field(description="What the model does.")
    default: bool = Field(description="Whether it is the default model of its task.")
    parts: tuple[str, ...] = Field((), description="Names of the models that it combines, in order.")
    mesh: str | None = Field(None, description="Name of the face mesh that aligns faces for it, if any.")
    research_only: bool = Field(False, description="Whether the terms of its weights forbid commercial use.")
    unlicensed: bool = Field(False, description="Whether its licence is LicenseRef-unspecified.")
    weights: str | None = Field(
        None, description="SHA-256 of the weights of the runs that it was exported from, if it was trained."
    )
    files: tuple[FileEntry, ...] = Field(description="Its ONNX files.")
    int8: tuple[FileEntry, ...] = Field(
        (), description="Int8 files. NAME-int8.onnx replaces NAME.onnx where nets run in int8."
    )

    _folder: Path = PrivateAttr(Path())

    def model_post_init(self, context: Any, /) -> None:
        """Take over the folder of the manifest, which is the context of the validation."""
        if isinstance(context, Path):
            self._folder = context

    def path_of(self, file: FileEntry) -> Path:
        """Return the path of one of its files."""
        return self._folder / file.file

    def files_at(self, precision: Precision) -> tuple[FileEntry, ...]:
        """Return the files of a precision; a file without an int8 file stays float."""
        int8 = {file.file: file for file in self.int8} if precision == "int8" else {}
        return tuple(int8.get(int8_name(file.file), file) for file in self.files)

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the other models that it runs."""
        return self.parts if self.mesh is None else (*self.parts, self.mesh)


class Manifest(_Entry):
    """The manifest of a model folder, or those of several folders together."""

    models: tuple[ModelEntry, ...] = Field(description="The models, in order.")

    @model_validator(mode="after")
    def _check_names(self) -> "Manifest":
        names = Counter(entry.name for entry in self.models)
        if repeated := sorted(name for name, count in names.items() if count > 1):
            raise ValueError(f"The manifest lists {', '.join(repeated)} more than once; list each model once")
        return self


def int8_name(file: str) -> str:
    """Return the name of the int8 file of an ONNX file."""
    return f"{file.removesuffix('.onnx')}-int8.onnx"


def read_manifest(folders: Folders) -> Manifest:
    """Return the manifest of a model folder, or those of several folders as one.

    A task has the default of the first folder that has one.

    Raises:
        BadModel: a manifest is missing or invalid, a folder is named twice, or two folders have a model or a
            file of the same name.
    """
    listed = [folders] if isinstance(folders, Path) else list(folders)
    resolved = [folder.resolve() for folder in listed]
    if repeated := next((one for i, one in enumerate(listed) if resolved[i] in resolved[:i]), None):
        raise BadModel(f"The model folder {repeated} is named twice. Name each folder once.")
    manifests = [_read(folder) for folder in listed]
    homes: dict[str, int] = {}
    with_default: set[Task] = set()
    entries: list[ModelEntry] = []
    for number, manifest in enumerate(manifests):
        for entry in manifest.models:
            names = {entry.name: "model"} | {file.file: "file" for file in (*entry.files, *entry.int8)}
            for name, kind in names.items():
                if (home := homes.setdefault(name, number)) != number:
                    raise BadModel(
                        f"The {kind} {name} is in {listed[home]} and in {listed[number]}. Export one of them "
                        "under another name, or use one of the folders."
                    )
            replaced = entry.default and entry.task in with_default
            entries.append(entry.model_copy(update={"default": False}) if replaced else entry)
        with_default |= {entry.task for entry in manifest.models if entry.default}
    return Manifest(models=tuple(entries))


def _read(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes(), context=folder)
    except OSError as error:
        raise BadModel(
            f"{path} cannot be read: {error.strerror}. A model folder must exist and have this file."
        ) from error
    except ValidationError as error:
        raise BadModel(f"{path} is invalid. {_first_fault(error)}.") from error


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    message = fault["msg"].removeprefix("Value error, ").replace("Input should", "The value must", 1)
    if fault["type"] == "string_pattern_mismatch":
        message = "The value must be the name of a file in the model folder, without a path"
    where = ".".join(map(str, fault["loc"]))
    return f"{where}: {message}; it is {fault['input']!r}" if where else message


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal.

    Raises:
        BadModel: the file cannot be read.
    """
    return hashlib.sha256(content_of(path)).hexdigest()


def models_for(
    folders: Folders, tasks: Mapping[Task, str | None], among: frozenset[str] | None = None
) -> frozenset[str]:
    """Return the names of the models that tasks need.

    Args:
        folders: the model folder, or several.
        tasks: the tasks, each with a model name, or None for the default model.
        among: names of the models to choose from; all models if None.

    Raises:
        UnknownModel: no model has this name and task, or none has the task.
        BadModel: the manifest is missing or invalid.
    """
    entries = [e for e in read_manifest(folders).models if among is None or e.name in among]
    chosen = set()
    for task, name in tasks.items():
        candidates = [e for e in entries if e.task == task]
        matching = [e.name for e in candidates if (e.default if name is None else e.name == name)]
        if name is None and not matching:
            matching = [e.name for e in candidates]
        if not matching:
            raise UnknownModel(name, task, sorted(e.name for e in candidates))
        chosen.add(matching[0])
    return frozenset(chosen)


def free_models(folders: Folders) -> frozenset[str]:
    """Return the names of the models that everyone may use.

    These are not for research only, have a licence, and need no other model that is or has not.

    Raises:
        BadModel: the manifest is missing or invalid.
    """
    entries = read_manifest(folders).models
    restricted = {entry.name for entry in entries if entry.research_only or entry.unlicensed}
    return frozenset(e.name for e in entries if restricted.isdisjoint({e.name, *e.needs}))


def select(manifest: Manifest, names: frozenset[str] | None) -> list[ModelEntry]:
    """Return the named models of a manifest, and those that they need; all models if `names` is None.

    Raises:
        BadModel: a name is not in the manifest.
    """
    known = {entry.name for entry in manifest.models}
    if names is None:
        return list(manifest.models)
    if unknown := sorted(names - known):
        raise BadModel(
            f"There is no model named {', '.join(unknown)}. The manifest lists {', '.join(sorted(known))}."
        )
    wanted = names | {need for entry in manifest.models if entry.name in names for need in entry.needs}
    if unknown := sorted(wanted - known):
        raise BadModel(f"The manifest does not list {', '.join(unknown)}, which another model needs.")
    return [entry for entry in manifest.models if entry.name in wanted]


def content_of(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        BadModel: the file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadModel(f"{path} cannot be read: {error.strerror}.") from error
