"""The model store: checks the model files against their manifest, and opens their sessions.

`models/manifest.json` lists every model with its files and their sha256. If a file is missing, changed or
invalid, the start fails with an error that names the file.
"""

import hashlib
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.errors import BadModel, DeviceUnavailable, UnknownModel
from app.runtime.device import Device, candidate_devices, preload_gpu_libraries
from app.runtime.dynamic_batching import BatchingScheduler
from app.runtime.precision import Precision, PrecisionSetting, precision_on
from app.runtime.scheduler import DeviceScheduler, ScheduledSession
from app.runtime.session import ModelSession, OrtSession
from app.runtime.telemetry import NULL_TELEMETRY, Telemetry
from app.vision.spec import (
    MIN_COSINE,
    TASK_OF_KIND,
    ComparedSpec,
    FusionSpec,
    LandmarkSpec,
    MeshSpec,
    SimilarityCalibration,
    Task,
    stage_of,
)

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
"""File name of the manifest in a model folder."""

_READ_AHEAD = 2
"""Files to read and hash while an earlier file is opened. Hashing takes as long as opening."""


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
    files: tuple[FileEntry, ...] = Field(description="Its ONNX files.")
    int8: tuple[FileEntry, ...] = Field(
        (), description="Int8 files. NAME-int8.onnx replaces NAME.onnx where nets run in int8."
    )

    def files_at(self, precision: Precision) -> tuple[FileEntry, ...]:
        """Return the files of a precision; a file without an int8 file stays float."""
        int8 = {file.file: file for file in self.int8} if precision == "int8" else {}
        return tuple(int8.get(int8_name(file.file), file) for file in self.files)

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the other models that it runs."""
        return self.parts if self.mesh is None else (*self.parts, self.mesh)


class Manifest(_Entry):
    """The manifest of a model folder."""

    models: tuple[ModelEntry, ...] = Field(description="The models of the folder.")

    @model_validator(mode="after")
    def _check_names(self) -> "Manifest":
        names = Counter(entry.name for entry in self.models)
        if repeated := sorted(name for name, count in names.items() if count > 1):
            raise ValueError(f"The manifest lists {', '.join(repeated)} more than once; list each model once")
        return self


def int8_name(file: str) -> str:
    """Return the name of the int8 file of an ONNX file."""
    return f"{file.removesuffix('.onnx')}-int8.onnx"


@dataclass(frozen=True)
class LoadedModel:
    """A model with its open sessions.

    Attributes:
        entry: the entry of the manifest.
        sessions: the sessions by stage, for example `pnet` or `embedder`.
        precision: int8 if one of the open files is, else float.
    """

    entry: ModelEntry
    sessions: dict[str, ModelSession]
    precision: Precision = "float"

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """The open files."""
        return self.entry.files_at(self.precision)


@dataclass(frozen=True)
class LoadOptions:
    """Options for running models.

    Attributes:
        threads: number of CPU threads; 0 uses all cores that the process may use.
        memory_mb: maximum GPU memory per net in MiB; 0 sets no limit.
        engine_cache: folder for compiled TensorRT engines; if None, every start compiles them.
        dynamic_batching: whether calls of different requests are merged into batches on a GPU.
        precision: `float`, `int8`, or `auto`, which is int8 on a CPU with the instructions for it.
        telemetry: receives an event for every call of a net.
        calibrations: calibrations of embedders by model, which replace those of the model files.
    """

    threads: int = 0
    memory_mb: int = 0
    engine_cache: Path | None = None
    dynamic_batching: bool = True
    precision: PrecisionSetting = "float"
    telemetry: Telemetry = NULL_TELEMETRY
    calibrations: Mapping[str, SimilarityCalibration] = field(default_factory=dict)


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a model folder.

    Raises:
        BadModel: the manifest is missing or invalid.
    """
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadModel(f"{path} cannot be read: {error.strerror}.") from error
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
    return hashlib.sha256(_content(path)).hexdigest()


def models_for(
    folder: Path, tasks: Mapping[Task, str | None], among: frozenset[str] | None = None
) -> frozenset[str]:
    """Return the names of the models that tasks need.

    Args:
        folder: the model folder.
        tasks: the tasks, each with a model name, or None for the default model.
        among: names of the models to choose from; all models if None.

    Raises:
        UnknownModel: no model has this name and task, or none has the task.
        BadModel: the manifest is missing or invalid.
    """
    entries = [e for e in read_manifest(folder).models if among is None or e.name in among]
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


def free_models(folder: Path) -> frozenset[str]:
    """Return the names of the models that neither are for research only, nor need a model that is.

    Raises:
        BadModel: the manifest is missing or invalid.
    """
    entries = read_manifest(folder).models
    restricted = {entry.name for entry in entries if entry.research_only}
    return frozenset(e.name for e in entries if restricted.isdisjoint({e.name, *e.needs}))


def load(
    folder: Path,
    device: str = "auto",
    names: frozenset[str] | None = None,
    options: LoadOptions | None = None,
    opened: Callable[[ModelSession], None] = lambda session: None,
) -> list[LoadedModel]:
    """Open models on a device. They share one scheduler.

    Args:
        folder: the model folder.
        device: `auto`, `cpu`, `cuda`, `cuda:N`, `tensorrt` or `tensorrt:N`. Only `auto` falls back to the
            CPU, with a warning.
        names: names of the models to open; those that they need are opened too. None opens all models.
        options: options for running the models.
        opened: callback, called with each session as soon as it is open. With `auto` it may also get sessions
            of a device that is then found to be unusable.

    Returns:
        The models, in the order of the manifest.

    Raises:
        BadModel: a file or the manifest is missing, changed or invalid, or a name is unknown.
        DeviceUnavailable: the device cannot run the models, or not in the requested precision.
    """
    entries = select(read_manifest(folder), names)
    options = options or LoadOptions()
    candidates = candidate_devices(device)
    precision_on(candidates[0], options.precision)  # not left to the fallback, which would hide the setting
    *preferred, last = candidates
    for candidate in preferred:
        try:
            return _load_on(_configured(candidate, options), folder, entries, options, opened)
        except DeviceUnavailable as error:
            log.warning("FACE_DEVICE=auto uses the CPU, because CUDA is not usable: %s", error.detail)
    return _load_on(_configured(last, options), folder, entries, options, opened)


def scheduler_for(device: Device, options: LoadOptions) -> DeviceScheduler:
    """Return a scheduler for a device. It merges calls on a GPU if the options enable dynamic batching."""
    batching = options.dynamic_batching and not device.on_cpu
    return (BatchingScheduler if batching else DeviceScheduler)(device.slots, options.telemetry)


def _configured(device: Device, options: LoadOptions) -> Device:
    return replace(
        device, threads=options.threads, memory_mb=options.memory_mb, engine_cache=options.engine_cache
    )


def _load_on(
    device: Device,
    folder: Path,
    entries: Sequence[ModelEntry],
    options: LoadOptions,
    opened: Callable[[ModelSession], None],
) -> list[LoadedModel]:
    if not device.on_cpu:
        preload_gpu_libraries()
    scheduler = scheduler_for(device, options)
    precision = precision_on(device, options.precision)
    models = [LoadedModel(entry, {}, precision if entry.int8 else "float") for entry in entries]
    contents = _verified_contents(folder, [file for model in models for file in model.files])
    for model in models:
        model.sessions.update(
            _open_sessions(model, contents, device, scheduler, options.calibrations.get(model.entry.name))
        )
        for session in model.sessions.values():
            opened(session)
    return models


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


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadModel(f"{path} cannot be read: {error.strerror}.") from error


def _verified_contents(folder: Path, files: Sequence[FileEntry]) -> Iterator[tuple[Path, bytes]]:
    """Yield path and content of each file, in order. A thread reads and hashes further files meanwhile.

    Raises:
        BadModel: a file is missing, or its hash differs from the manifest.
    """

    def read(file: FileEntry) -> bytes:
        content = _content(folder / file.file)
        if (actual := hashlib.sha256(content).hexdigest()) != file.sha256:
            raise BadModel(
                f"{folder / file.file} has sha256 {actual}, but the manifest says {file.sha256}. Restore the "
                "file, or make it again with `make models`."
            )
        return content

    with ThreadPoolExecutor(1, "hash") as pool:
        pending = deque(pool.submit(read, file) for file in files[:_READ_AHEAD])
        for index in range(len(files)):
            content = pending.popleft().result()
            if index + _READ_AHEAD < len(files):
                pending.append(pool.submit(read, files[index + _READ_AHEAD]))
            yield folder / files[index].file, content


def _open_sessions(
    model: LoadedModel,
    contents: Iterator[tuple[Path, bytes]],
    device: Device,
    scheduler: DeviceScheduler,
    calibration: SimilarityCalibration | None,
) -> dict[str, ModelSession]:
    entry = model.entry
    sessions: dict[str, ModelSession] = {}
    for file in model.files:
        path, content = next(contents)  # the bytes that were hashed, even if the file has changed since
        # Both crops of a face run at the same time, which is faster than two threads for each.
        session = OrtSession(path, device, parallel=entry.task != "landmarks", content=content)
        spec = session.spec
        if isinstance(spec, MeshSpec) or (isinstance(spec, LandmarkSpec) and spec.flip_average):
            session = OrtSession(path, device, parallel=True, content=content)
        if file in entry.int8 and (session.cosine is None or session.cosine.mean < MIN_COSINE):
            raise BadModel(
                f"{path} does not say that the mean cosine of its vectors to those of the float file is at "
                f"least {MIN_COSINE}. Restore the file, or set FACE_PRECISION=float."
            )
        if spec.model != entry.name or TASK_OF_KIND[spec.kind] != entry.task:
            raise BadModel(
                f"{path} says it is {spec.model} ({spec.kind}), but the manifest says {entry.name} "
                f"({entry.task})."
            )
        if spec.research_only != entry.research_only:
            says = "is" if spec.research_only else "is not"
            raise BadModel(f"{path} says it {says} for research only, but the manifest says the opposite.")
        if isinstance(spec, FusionSpec) and spec.parts != entry.parts:
            raise BadModel(f"{path} says it consists of {spec.parts}, but the manifest says {entry.parts}.")
        if isinstance(spec, ComparedSpec) and spec.mesh != entry.mesh:
            raise BadModel(f"{path} says its face mesh is {spec.mesh}, but the manifest says {entry.mesh}.")
        if calibration is not None and isinstance(spec, ComparedSpec):
            session.spec = spec.model_copy(update=dict(calibration))
        sessions[stage_of(spec)] = ScheduledSession(session, scheduler)
    return sessions
