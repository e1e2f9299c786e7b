"""The model store: a manifest with hashes on disk, open sessions in memory.

`models/manifest.json` lists every model with its files and their sha256. A file that is missing, changed or
invalid stops the start with an error that names it.
"""

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from app.errors import BadModel, DeviceUnavailable, UnknownModel
from app.runtime.device import Device, candidate_devices, preload_gpu_libraries
from app.runtime.dynamic_batching import BatchingScheduler
from app.runtime.scheduler import DeviceScheduler, ScheduledSession
from app.runtime.session import ModelSession, OrtSession
from app.runtime.telemetry import NULL_TELEMETRY, Telemetry
from app.vision.spec import TASK_OF_KIND, FusionSpec, Task, stage_of

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"

_READ_AHEAD = 2
"""Files that are read and hashed while an earlier one is opened: hashing takes as long as opening."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Entry):
    """An ONNX file, its size in bytes and its sha256."""

    file: str
    bytes: int
    sha256: str


class ModelEntry(_Entry):
    """A named model: one net, the stages of a detector, or a combination of other models, its parts."""

    name: str
    task: Task
    default: bool
    parts: tuple[str, ...] = ()
    files: tuple[FileEntry, ...]


class Manifest(_Entry):
    """The contents of a model folder."""

    models: tuple[ModelEntry, ...]


@dataclass(frozen=True)
class LoadedModel:
    """A model with its open sessions, by stage (`pnet`, `embedder`, ...)."""

    entry: ModelEntry
    sessions: dict[str, ModelSession]


@dataclass(frozen=True)
class LoadOptions:
    """How models run.

    Attributes:
        threads: CPU threads; 0 for all cores that the process may use.
        memory_mb: maximum GPU memory per net in MiB; 0 for no limit.
        engine_cache: folder in which TensorRT keeps compiled engines.
        dynamic_batching: whether a GPU merges calls of different requests into batches.
        telemetry: receives an event for every call of a net.
    """

    threads: int = 0
    memory_mb: int = 0
    engine_cache: Path | None = None
    dynamic_batching: bool = True
    telemetry: Telemetry = NULL_TELEMETRY


def read_manifest(folder: Path) -> Manifest:
    """Return the folder's manifest.

    Raises:
        BadModel: it is missing or invalid.
    """
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadModel(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise BadModel(f"{path} is invalid: {error}") from error


def sha256(path: Path) -> str:
    """Return the file's sha256 in hexadecimal. Raises BadModel if it cannot be read."""
    return hashlib.sha256(_content(path)).hexdigest()


def models_for(
    folder: Path, tasks: Mapping[Task, str | None], among: frozenset[str] | None = None
) -> frozenset[str]:
    """Return the names of the models that the tasks need.

    Args:
        folder: the model folder.
        tasks: for each task the model's name, or None for the default.
        among: names to choose from; all if None.

    Raises:
        UnknownModel: no model of that name does the task, or none does it at all.
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


def load(
    folder: Path,
    device: str = "auto",
    names: frozenset[str] | None = None,
    options: LoadOptions | None = None,
    opened: Callable[[ModelSession], None] = lambda session: None,
) -> list[LoadedModel]:
    """Open models on a device, behind one scheduler.

    Args:
        folder: the model folder.
        device: `auto`, `cpu`, `cuda[:N]` or `tensorrt[:N]`. Only `auto` falls back to the CPU, with a
            warning.
        names: the models to open, together with their parts; all if None.
        options: how they run.
        opened: is called with each session while others are still being opened; with `auto` also with those
            of a device that turns out to be unusable.

    Raises:
        BadModel: a file or the manifest is missing, changed or invalid.
        DeviceUnavailable: the device cannot run the models.
    """
    entries = _select(read_manifest(folder), names)
    options = options or LoadOptions()
    candidates = candidate_devices(device)
    for candidate in candidates:
        if not candidate.on_cpu:
            preload_gpu_libraries()
        try:
            return _load_on(_configured(candidate, options), folder, entries, options, opened)
        except DeviceUnavailable as error:
            if candidate is candidates[-1]:
                raise
            log.warning("FACE_DEVICE=auto falls back to the CPU: %s", error.detail)
    raise AssertionError("candidate_devices returns at least one device")


def scheduler_for(device: Device, options: LoadOptions) -> DeviceScheduler:
    """Return the device's scheduler: on a GPU, one that merges calls if the options say so."""
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
    scheduler = scheduler_for(device, options)
    contents = _verified_contents(folder, [file for entry in entries for file in entry.files])
    loaded = []
    for entry in entries:
        model = _open_model(folder, entry, contents, device, scheduler)
        for session in model.sessions.values():
            opened(session)
        loaded.append(model)
    return loaded


def _select(manifest: Manifest, names: frozenset[str] | None) -> list[ModelEntry]:
    known = {entry.name for entry in manifest.models}
    if names is None:
        return list(manifest.models)
    if unknown := sorted(names - known):
        raise BadModel(f"unknown models {', '.join(unknown)}; the manifest lists {', '.join(sorted(known))}")
    wanted = names | {part for entry in manifest.models if entry.name in names for part in entry.parts}
    if unknown := sorted(wanted - known):
        raise BadModel(f"the manifest does not list {', '.join(unknown)}, which another model consists of")
    return [entry for entry in manifest.models if entry.name in wanted]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadModel(f"{path} cannot be read: {error.strerror}") from error


def _verified_contents(folder: Path, files: Sequence[FileEntry]) -> Iterator[bytes]:
    """Yield the bytes of each file, in order, reading and hashing ahead of the caller.

    Raises:
        BadModel: a file is missing, or its hash differs from the manifest's.
    """

    def read(file: FileEntry) -> bytes:
        content = _content(folder / file.file)
        if (actual := hashlib.sha256(content).hexdigest()) != file.sha256:
            raise BadModel(f"{folder / file.file} has sha256 {actual}; the manifest says {file.sha256}")
        return content

    with ThreadPoolExecutor(1, "hash") as pool:
        pending = deque(pool.submit(read, file) for file in files[:_READ_AHEAD])
        for index in range(len(files)):
            content = pending.popleft().result()
            if index + _READ_AHEAD < len(files):
                pending.append(pool.submit(read, files[index + _READ_AHEAD]))
            yield content


def _open_model(
    folder: Path, entry: ModelEntry, contents: Iterator[bytes], device: Device, scheduler: DeviceScheduler
) -> LoadedModel:
    sessions: dict[str, ModelSession] = {}
    for file in entry.files:
        path = folder / file.file
        content = next(contents)  # the bytes that were hashed are opened, whatever happens to the file
        session = OrtSession(path, device, parallel=entry.task == "detect", content=content)
        spec = session.spec
        if spec.model != entry.name or TASK_OF_KIND[spec.kind] != entry.task:
            raise BadModel(f"{path} says it is {spec.model} ({spec.kind}); the manifest says {entry.name}")
        if isinstance(spec, FusionSpec) and spec.parts != entry.parts:
            raise BadModel(f"{path} says it consists of {spec.parts}; the manifest says {entry.parts}")
        sessions[stage_of(spec)] = ScheduledSession(session, scheduler)
    return LoadedModel(entry, sessions)
