"""What an operator decides: environment variables with the prefix FACE_, read by `main`, `server` and `cli`.

The descriptions below are the source of `.env.example` and of docs/settings.md (`make generate`).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_MIN_KEY_LENGTH = 16
_SECRET = frozenset({"api_keys"})

_MODELS = Path(__file__).resolve().parent.parent / "models"


class Settings(BaseSettings):
    """The service's settings. Each is read from the environment variable FACE_ and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="FACE_", env_ignore_empty=True, frozen=True, extra="forbid")

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address to listen on. 0.0.0.0 accepts connections from other machines; set API keys, or "
        "put an authenticating proxy in front, before you do that.",
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on. 0 picks a free port.")
    log_level: Literal["critical", "error", "warning", "info", "debug"] = Field(
        "info", description="Minimum level of log lines: critical, error, warning, info or debug."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="Format of log lines: json, text, or auto (text on a terminal, JSON elsewhere)."
    )

    api_keys: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(),
        repr=False,
        description="API keys that clients must send, separated by commas; unset accepts every client. A "
        "key has 16 or more ASCII characters without spaces.",
    )
    api_keys_file: Path | None = Field(
        None,
        description="File with further API keys, one per line. Prefer it to FACE_API_KEYS where other users "
        "can read the process's environment.",
    )

    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|(cuda|tensorrt)(:\d+)?)$",
        description="Device: auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N. auto uses CUDA where it works "
        "and falls back to the CPU with a warning; every other value fails the start if the device is "
        "unusable. Set it explicitly in production, so that a broken driver is noticed.",
    )
    threads: int = Field(
        0,
        ge=0,
        le=1024,
        description="CPU threads per process. 0 uses all cores that the process may use. Lower it when other "
        "programs share the machine; more threads than cores slow every request down.",
    )
    gpu_memory_mb: int = Field(
        0,
        ge=0,
        description="Maximum GPU memory per net in MiB. 0 sets no limit. Set it when other programs share "
        "the GPU; too low a value makes batches smaller, and then fails requests with out-of-memory.",
    )
    tensorrt_cache: Path | None = Field(
        None,
        description="Folder for compiled TensorRT engines. Without it every start compiles them again, which "
        "takes minutes.",
    )
    dynamic_batching: bool = Field(
        True,
        description="GPU only: merge waiting calls of one net from different requests into one batch. It "
        "raises throughput under load and does not delay a lone request. Turn it off to compare.",
    )

    models_dir: Path = Field(_MODELS, description="Folder with the ONNX files and their manifest.json.")
    models: Annotated[frozenset[str] | None, NoDecode] = Field(
        None,
        description="Names of the models to load, separated by commas; unset loads all. Fewer models start "
        "faster and use less memory. At least one detector is required.",
    )
    detector: str | None = Field(None, description="Detector used when a request names none.")
    landmarks: str | None = Field(None, description="Landmark model used when a request names none.")
    embedder: str | None = Field(None, description="Embedder used when a request names none.")

    max_image_bytes: int = Field(
        20 << 20,
        ge=1024,
        description="Maximum size of one encoded picture in bytes. Reading stops at the limit (413).",
    )
    max_image_pixels: int = Field(
        50_000_000,
        ge=1024,
        le=178_000_000,
        description="Maximum width times height of one picture, checked before decoding (413). A picture "
        "takes 3 bytes per pixel while it is processed, on each worker thread.",
    )
    max_faces: int = Field(
        1000, ge=1, description="Maximum number of faces in an answer, and of the parameter max_faces."
    )
    max_boxes: int = Field(256, ge=1, description="Maximum number of boxes in a request.")
    max_batch_images: int = Field(16, ge=1, le=256, description="Maximum number of pictures in a batch.")
    max_batch_bytes: int = Field(
        64 << 20, ge=1024, description="Maximum size of all pictures of a batch together in bytes."
    )
    max_concurrent: int = Field(
        0,
        ge=0,
        le=256,
        description="Worker threads: pictures processed at the same time. 0 uses two per core, at "
        "least 4 and at most 32. More threads use more memory (one decoded picture each) and hardly raise "
        "throughput.",
    )
    max_queue: int = Field(
        28,
        ge=0,
        description="Requests that may wait for a worker thread; further ones get 503 at once. A "
        "longer queue absorbs longer bursts, but its last request waits longer. Keep it below what the "
        "service finishes within FACE_REQUEST_TIMEOUT_S.",
    )
    request_timeout_s: float = Field(
        30,
        ge=0,
        allow_inf_nan=False,
        description="Seconds from a complete request body to the answer; later the request is dropped (503). "
        "0 sets no limit. Set it to the time after which your clients give up.",
    )
    read_timeout_s: float = Field(
        10,
        gt=0,
        le=3600,
        description="Seconds without receiving a byte of a body, or for a complete request head (408). Lower "
        "values free connections of stalled clients sooner.",
    )
    body_timeout_s: float = Field(
        60,
        gt=0,
        le=3600,
        description="Seconds for a complete request body (408). Raise it for large pictures over slow links.",
    )
    min_body_rate: float = Field(
        16384,
        gt=0,
        description="Minimum upload rate in bytes per second, enforced after FACE_READ_TIMEOUT_S (408). It "
        "prevents clients from occupying slots with very slow uploads.",
    )
    write_timeout_s: float = Field(
        60,
        gt=0,
        le=3600,
        description="Seconds for a client to read its response; then the connection is closed.",
    )
    max_connections: int = Field(
        512,
        ge=1,
        description="Maximum number of open connections per process; further ones get 503. Keep it below the "
        "process's limit on file descriptors.",
    )
    max_body_memory_mb: int = Field(
        1024,
        ge=1,
        description="Maximum memory for the bodies of all unanswered requests in MiB; further ones get 503.",
    )
    shutdown_timeout_s: float = Field(
        25,
        ge=1,
        le=3600,
        allow_inf_nan=False,
        description="Seconds from SIGTERM to the end of the process. Admitted requests are finished within "
        "it. Keep it below the time after which your supervisor kills the process.",
    )
    workers: int = Field(
        1,
        ge=1,
        le=256,
        description="Processes. Each loads its own models and gets its share of the cores. More processes "
        "survive a crash of one of them and use more memory; on a GPU the value is ignored.",
    )

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        return frozenset(_lines(value.replace(",", "\n"))) if isinstance(value, str) else value

    @field_validator("api_keys")
    @classmethod
    def _check_keys(cls, keys: frozenset[str]) -> frozenset[str]:
        return _checked(keys)

    @field_validator("api_keys_file")
    @classmethod
    def _check_file(cls, path: Path | None) -> Path | None:
        if path is not None and not _checked(_read(path)):
            raise ValueError("the file contains no key")
        return path

    @field_validator("models", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        if isinstance(value, str):
            return frozenset(name for name in (part.strip() for part in value.split(",")) if name) or None
        return value

    def keys(self) -> frozenset[str]:
        """Return all API keys, those of the file included."""
        return self.api_keys | (_read(self.api_keys_file) if self.api_keys_file else frozenset())


def _read(path: Path) -> frozenset[str]:
    try:
        return frozenset(_lines(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the file cannot be read: {error}") from error


def _lines(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _checked(keys: frozenset[str]) -> frozenset[str]:
    """Return the keys. Raises ValueError, without the key, for one that is guessable or cannot be sent."""
    for key in keys:
        if len(key) < _MIN_KEY_LENGTH or not (key.isascii() and key.isprintable() and " " not in key):
            raise ValueError(f"a key must have {_MIN_KEY_LENGTH} or more ASCII characters without spaces")
    return keys


def explain(error: ValidationError) -> str:
    """Return a validation error of Settings as lines that name the environment variables at fault."""
    lines = []
    for problem in error.errors():
        name = f"FACE_{problem['loc'][0]}".upper() if problem["loc"] else "settings"
        message = problem["msg"]
        if problem["type"] == "string_pattern_mismatch" and problem["loc"][0] == "device":
            message = "Input should be auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N"
        secret = problem["loc"] and problem["loc"][0] in _SECRET
        lines.append(f"{name}: {message}." if secret else f"{name}: {message}; it is {problem['input']!r}.")
    return "\n".join(lines)


def unknown_variables(names: Iterable[str]) -> list[str]:
    """Return the names of environment variables with the prefix FACE_ that are not settings."""
    known = {f"FACE_{name}".upper() for name in Settings.model_fields}
    return sorted(name for name in names if name.startswith("FACE_") and name not in known)
