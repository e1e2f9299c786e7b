"""The model store: checks the model files against their manifests, and opens their sessions.

If a file is missing, changed or invalid, the start fails with an error that names the file.
"""

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from app.errors import BadModel, DeviceUnavailable
from app.runtime.device import Device, candidate_devices, preload_gpu_libraries
from app.runtime.dynamic_batching import BatchingScheduler
from app.runtime.manifest import FileEntry, Folders, ModelEntry, content_of, read_manifest, select
from app.runtime.precision import Precision, PrecisionSetting, precision_on
from app.runtime.scheduler import DeviceScheduler, ScheduledSession
from app.runtime.session import ModelSession, OrtSession
from app.runtime.telemetry import NULL_TELEMETRY, Telemetry
from app.vision.spec import (
    MIN_COSINE,
    TASK_OF_KIND,
    UNSPECIFIED_LICENCE,
    ComparedSpec,
    FusionSpec,
    LandmarkSpec,
    MeshSpec,
    ModelSpec,
    SimilarityCalibration,
    stage_of,
)

log = logging.getLogger(__name__)

_READ_AHEAD = 2
"""Files to read and hash while an earlier file is opened. Hashing takes as long as opening."""


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


def load(
    folders: Folders,
    device: str = "auto",
    names: frozenset[str] | None = None,
    options: LoadOptions | None = None,
    opened: Callable[[ModelSession], None] = lambda session: None,
) -> list[LoadedModel]:
    """Open models on a device. They share one scheduler.

    Args:
        folders: the model folder, or several.
        device: `auto`, `cpu`, `cuda`, `cuda:N`, `tensorrt` or `tensorrt:N`. Only `auto` falls back to the
            CPU, with a warning.
        names: names of the models to open; those that they need are opened too. None opens all models.
        options: options for running the models.
        opened: callback, called with each session as soon as it is open. With `auto` it may also get sessions
            of a device that is then found to be unusable.

    Returns:
        The models, in the order of the folders and their manifests.

    Raises:
        BadModel: a file or the manifest is missing, changed or invalid, or a name is unknown.
        DeviceUnavailable: the device cannot run the models, or not in the requested precision.
    """
    entries = select(read_manifest(folders), names)
    options = options or LoadOptions()
    candidates = candidate_devices(device)
    precision_on(candidates[0], options.precision)  # not left to the fallback, which would hide the setting
    *preferred, last = candidates
    for candidate in preferred:
        try:
            return _load_on(_configured(candidate, options), entries, options, opened)
        except DeviceUnavailable as error:
            log.warning("FACE_DEVICE=auto uses the CPU, because CUDA is not usable: %s", error.detail)
    return _load_on(_configured(last, options), entries, options, opened)


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
    entries: Sequence[ModelEntry],
    options: LoadOptions,
    opened: Callable[[ModelSession], None],
) -> list[LoadedModel]:
    if not device.on_cpu:
        preload_gpu_libraries()
    scheduler = scheduler_for(device, options)
    precision = precision_on(device, options.precision)
    models = [LoadedModel(entry, {}, precision if entry.int8 else "float") for entry in entries]
    contents = _verified_contents([(m.entry.path_of(file), file) for m in models for file in m.files])
    for model in models:
        model.sessions.update(
            _open_sessions(model, contents, device, scheduler, options.calibrations.get(model.entry.name))
        )
        for session in model.sessions.values():
            opened(session)
    return models


def _verified_contents(files: Sequence[tuple[Path, FileEntry]]) -> Iterator[tuple[Path, bytes]]:
    """Yield path and content of each file, in order. A thread reads and hashes further files meanwhile.

    Raises:
        BadModel: a file is missing, or its hash differs from the manifest.
    """

    def read(path: Path, file: FileEntry) -> bytes:
        content = content_of(path)
        if (actual := hashlib.sha256(content).hexdigest()) != file.sha256:
            raise BadModel(
                f"{path} has sha256 {actual}, but the manifest says {file.sha256}. Restore the file, or make "
                "it again: a shipped model with `make models`, your own with `training.export`."
            )
        return content

    with ThreadPoolExecutor(1, "hash") as pool:
        pending = deque(pool.submit(read, *file) for file in files[:_READ_AHEAD])
        for index, (path, _) in enumerate(files):
            content = pending.popleft().result()
            if index + _READ_AHEAD < len(files):
                pending.append(pool.submit(read, *files[index + _READ_AHEAD]))
            yield path, content


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
        _check_entry(path, spec, entry)
        if calibration is not None and isinstance(spec, ComparedSpec):
            session.spec = spec.model_copy(update=dict(calibration))
        sessions[stage_of(spec)] = ScheduledSession(session, scheduler)
    return sessions


def _check_entry(path: Path, spec: ModelSpec, entry: ModelEntry) -> None:
    """Check that a file says the same of its model as the manifest.

    Raises:
        BadModel: they contradict each other.
    """
    if spec.model != entry.name or TASK_OF_KIND[spec.kind] != entry.task:
        raise BadModel(
            f"{path} says it is {spec.model} ({spec.kind}), but the manifest says {entry.name} "
            f"({entry.task})."
        )
    if spec.research_only != entry.research_only:
        says = "is" if spec.research_only else "is not"
        raise BadModel(f"{path} says it {says} for research only, but the manifest says the opposite.")
    if (spec.licence == UNSPECIFIED_LICENCE) != entry.unlicensed:
        says = "has no" if entry.unlicensed else "has a"
        raise BadModel(f"{path} has the licence {spec.licence}, but the manifest says it {says} licence.")
    if isinstance(spec, FusionSpec) and spec.parts != entry.parts:
        raise BadModel(f"{path} says it consists of {spec.parts}, but the manifest says {entry.parts}.")
    if isinstance(spec, ComparedSpec) and spec.mesh != entry.mesh:
        raise BadModel(f"{path} says its face mesh is {spec.mesh}, but the manifest says {entry.mesh}.")
