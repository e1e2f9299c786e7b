"""The model store: manifest and hashes on disk, sessions in memory.

`models/manifest.json` lists every model with its files and their sha256. A file that is missing,
changed or not understood stops the start, with the file named.
"""

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from app.errors import BadModel, DeviceUnavailable
from app.runtime.batching import Owner, SharedSession, Unwatched, Watcher
from app.runtime.session import Device, ModelSession, OrtSession, candidates, preload_libraries
from app.vision.spec import TASK_OF_KIND, FusionSpec, Task

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"

_AHEAD = 2
"""Files that are read before they are opened: hashing takes as long as opening."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Entry):
    """One ONNX file, its size in bytes and its sha256."""

    file: str
    bytes: int
    sha256: str


class ModelEntry(_Entry):
    """A named model: one net, or the three of a cascade, or one that is made of others, its parts."""

    name: str
    task: Task
    default: bool
    parts: tuple[str, ...] = ()
    files: tuple[FileEntry, ...]


class Manifest(_Entry):
    """What `models/` holds."""

    models: tuple[ModelEntry, ...]


@dataclass(frozen=True)
class LoadedModel:
    """A model with its open sessions, by the kind their specs name (`pnet`, `embedder`, ...)."""

    entry: ModelEntry
    sessions: dict[str, ModelSession]


@dataclass(frozen=True)
class Sharing:
    """How requests share a device: whether their calls are merged into batches, and who is told of them."""

    merge: bool = True
    watcher: Watcher = field(default_factory=Unwatched)


def read_manifest(folder: Path) -> Manifest:
    """The folder's manifest. Raises BadModel where it is missing or not understood."""
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadModel(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise BadModel(f"{path} is not understood: {error}") from error


def sha256(path: Path) -> str:
    """The file's sha256, in hexadecimal. Raises BadModel where it cannot be read."""
    return hashlib.sha256(_content(path)).hexdigest()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadModel(f"{path} cannot be read: {error.strerror}") from error


def load(
    folder: Path,
    device: str = "auto",
    *,
    threads: int = 0,
    memory_mb: int = 0,
    engines: Path | None = None,
    names: frozenset[str] | None = None,
    sharing: Sharing | None = None,
    opened: Callable[[ModelSession], None] = lambda session: None,
) -> list[LoadedModel]:
    """Opens the manifest's models (all, or those named and their parts) on a device, behind its one owner.

    `opened` is told of each session, while there are more to open; with `auto` also of those of a device
    that is given up afterwards.

    Raises BadModel for a damaged store and DeviceUnavailable when the device cannot be had; only
    `auto` falls back to the CPU, with a warning that says why.
    """
    entries = _select(read_manifest(folder), names)
    choices = candidates(device)
    share = sharing or Sharing()
    for last, choice in ((c is choices[-1], c) for c in choices):
        if choice.kind != "cpu":
            preload_libraries()
        chosen = replace(choice, threads=threads, memory_mb=memory_mb, engines=engines)
        try:
            owner = Owner(chosen.lanes, share.watcher, share.merge)
            contents = _verified(folder, [file for entry in entries for file in entry.files])
            loaded = []
            for entry in entries:
                loaded.append(_open(folder, entry, contents, chosen, owner))
                for session in loaded[-1].sessions.values():
                    opened(session)
            return loaded
        except DeviceUnavailable as error:
            if last:
                raise
            log.warning("device auto falls back to the CPU: %s", error.detail)
    raise AssertionError("candidates() names at least one device")


def _select(manifest: Manifest, names: frozenset[str] | None) -> list[ModelEntry]:
    known = {entry.name for entry in manifest.models}
    if names is not None and (unknown := sorted(names - known)):
        raise BadModel(f"unknown models {', '.join(unknown)}; the manifest has {', '.join(sorted(known))}")
    if names is None:
        return list(manifest.models)
    wanted = names | {part for entry in manifest.models if entry.name in names for part in entry.parts}
    if unknown := sorted(wanted - known):
        raise BadModel(f"the manifest has no {', '.join(unknown)}, of which another model is made")
    return [entry for entry in manifest.models if entry.name in wanted]


def _verified(folder: Path, files: Sequence[FileEntry]) -> Iterator[bytes]:
    """The bytes of each file, in order; the next ones are read and hashed while the caller opens one.

    Raises BadModel for one that is missing or not the manifest's.
    """

    def read(file: FileEntry) -> bytes:
        content = _content(folder / file.file)
        if (found := hashlib.sha256(content).hexdigest()) != file.sha256:
            raise BadModel(f"{folder / file.file} has sha256 {found}, and the manifest says {file.sha256}")
        return content

    with ThreadPoolExecutor(1, "hash") as pool:
        waiting = deque(pool.submit(read, file) for file in files[:_AHEAD])
        for place in range(len(files)):
            content = waiting.popleft().result()
            if place + _AHEAD < len(files):
                waiting.append(pool.submit(read, files[place + _AHEAD]))
            yield content


def _open(
    folder: Path, entry: ModelEntry, contents: Iterator[bytes], device: Device, owner: Owner
) -> LoadedModel:
    sessions: dict[str, ModelSession] = {}
    for file in entry.files:
        path = folder / file.file
        content = next(contents)  # what is opened is what was hashed, whatever becomes of the file
        session = OrtSession(path, device, lanes=entry.task == "detect", content=content)
        spec = session.spec
        if spec.model != entry.name or TASK_OF_KIND[spec.kind] != entry.task:
            raise BadModel(f"{path} says it is {spec.model} ({spec.kind}), the manifest {entry.name}")
        if isinstance(spec, FusionSpec) and spec.parts != entry.parts:
            raise BadModel(f"{path} says it is made of {spec.parts}, the manifest of {entry.parts}")
        sessions[spec.kind] = SharedSession(session, owner)
    return LoadedModel(entry, sessions)
