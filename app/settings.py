"""Settings: what an operator decides, as environment variables with the prefix FACE_.

`make generate` writes `.env.example` and docs/reference/settings.md from the descriptions in this file.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_MIN_KEY_LENGTH = 16
_SECRET = frozenset({"api_keys"})

_ROOT_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+")

_MODELS = Path(__file__).resolve().parent.parent / "models"


class Settings(BaseSettings):
    """The settings of the service, read from environment variables.

    The variable of a setting is its name in capitals after the prefix FACE_: `max_queue` is FACE_MAX_QUEUE.
    """

    model_config = SettingsConfigDict(env_prefix="FACE_", env_ignore_empty=True, frozen=True, extra="forbid")

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address to listen on. 0.0.0.0 accepts connections from other machines; before you use "
        "it, set API keys or put an authenticating proxy in front.",
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on. 0 picks a free port.")
    root_path: str = Field(
        "",
        description="Path under which a proxy serves the service, for example /facet. Links, problem types "
        "and the OpenAPI document then begin with it. The proxy may remove it from requests or pass it on. "
        "If it is not set, the header X-Forwarded-Prefix of a trusted proxy is used.",
    )
    trusted_proxies: str = Field(
        "127.0.0.0/8,::1",
        description="Addresses and networks of proxies, separated by commas, whose header X-Forwarded-Prefix "
        "is used. From other addresses the header is ignored.",
    )
    log_level: Literal["critical", "error", "warning", "info", "debug"] = Field(
        "info", description="Minimum level of log lines: critical, error, warning, info or debug."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="Format of log lines: json, text, or auto (text on a terminal, JSON elsewhere)."
    )

    api_keys: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(),
        repr=False,
        description="API keys, separated by commas. Clients must send one of them; if none is set, every "
        "client is accepted. A key has 16 or more ASCII characters without spaces.",
    )
    api_keys_file: Path | None = Field(
        None,
        description="File with further API keys, one per line. Use it instead of FACE_API_KEYS if other "
        "users can read the environment of the process.",
    )

    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|(cuda|tensorrt)(:\d+)?)$",
        description="Device: auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N. auto uses CUDA if it works, "
        "else the CPU, with a warning. With any other value the start fails if the device is unusable. Set "
        "it explicitly in production, so that a broken driver is noticed.",
    )
    threads: int = Field(
        0,
        ge=0,
        le=1024,
        description="CPU threads per process. 0 uses all cores that the process may use. Set a lower number "
        "if other programs share the machine. More threads than cores make every request slower.",
    )
    gpu_memory_mb: int = Field(
        0,
        ge=0,
        description="Maximum GPU memory per net in MiB. 0 sets no limit. Set it if other programs share the "
        "GPU. If the value is too low, batches get smaller and then requests fail with out-of-memory.",
    )
    tensorrt_cache: Path | None = Field(
        None,
        description="Folder for compiled TensorRT engines. If it is not set, every start compiles them "
        "again, which takes minutes.",
    )
    dynamic_batching: bool = Field(
        True,
        description="GPU only: merge waiting calls of one net from different requests into one batch. This "
        "raises the throughput under load and does not delay a single request.",
    )

    models_dir: Path = Field(_MODELS, description="Folder with the ONNX files and their manifest.json.")
    models: Annotated[frozenset[str] | None, NoDecode] = Field(
        None,
        description="Names of the models to load, separated by commas. If it is not set, all models are "
        "loaded. Fewer models start faster and use less memory. At least one detector is required.",
    )
    detector: str | None = Field(
        None,
        description="Detector for requests that name none. If it is not set, the default of the manifest is "
        "used.",
    )
    landmarks: str | None = Field(
        None,
        description="Landmark model for requests that name none. If it is not set, the default of the "
        "manifest is used.",
    )
    embedder: str | None = Field(
        None,
        description="Embedder for requests that name none. If it is not set, the default of the manifest is "
        "used.",
    )

    max_image_bytes: int = Field(
        20 << 20,
        ge=1024,
        description="Maximum size of one encoded image in bytes. Reading stops at the limit, and the request "
        "gets 413.",
    )
    max_image_pixels: int = Field(
        50_000_000,
        ge=1024,
        le=178_000_000,
        description="Maximum width times height of one image in pixels. It is checked before decoding; a "
        "larger image gets 413. Each worker thread needs 3 bytes per pixel while it processes an image, "
        "and 6 while it searches the image turned (orientation=auto).",
    )
    max_faces: int = Field(
        1000,
        ge=1,
        description="Maximum number of faces in a response, and maximum value of the parameter max_faces.",
    )
    max_boxes: int = Field(256, ge=1, description="Maximum number of boxes in a request.")
    max_batch_images: int = Field(16, ge=1, le=256, description="Maximum number of images in a batch.")
    max_batch_bytes: int = Field(
        64 << 20, ge=1024, description="Maximum total size of the encoded images of a batch in bytes."
    )
    max_concurrent: int = Field(
        0,
        ge=0,
        le=256,
        description="Number of worker threads: images processed at the same time. 0 uses two per core, at "
        "least 4 and at most 32. More threads need more memory (one decoded image each) and hardly raise the "
        "throughput.",
    )
    max_queue: int = Field(
        28,
        ge=0,
        description="Maximum number of requests that wait for a worker thread. Further requests get 503 at "
        "once. A longer queue absorbs longer bursts, but its last request waits longer. Keep it below the "
        "number of requests that the service finishes within FACE_REQUEST_TIMEOUT_S.",
    )
    request_timeout_s: float = Field(
        30,
        ge=0,
        allow_inf_nan=False,
        description="Maximum seconds from the end of the request body to the response. After this time the "
        "request is dropped and gets 503. 0 sets no limit. Set it to the timeout of your clients.",
    )
    read_timeout_s: float = Field(
        10,
        gt=0,
        le=3600,
        description="Read timeout: maximum seconds without receiving a byte of the request body, and maximum "
        "seconds for the complete request head. After this time the request gets 408. A lower value frees "
        "the connections of stalled clients sooner.",
    )
    body_timeout_s: float = Field(
        60,
        gt=0,
        le=3600,
        description="Maximum seconds for the complete request body. After this time the request gets 408. "
        "Raise it for large images over slow connections.",
    )
    min_body_rate: float = Field(
        16384,
        gt=0,
        description="Minimum upload rate in bytes per second, enforced after FACE_READ_TIMEOUT_S. A slower "
        "request gets 408. This prevents clients from occupying slots with very slow uploads.",
    )
    write_timeout_s: float = Field(
        60,
        gt=0,
        le=3600,
        description="Write timeout: maximum seconds for a client to read its response. After this time the "
        "connection is closed.",
    )
    max_connections: int = Field(
        512,
        ge=1,
        description="Maximum number of open connections per process. Further connections get 503. Up to 384 "
        "of them stay open for at most 2.5 seconds, so that their clients can read it. Keep the sum below "
        "the limit on file descriptors of the process.",
    )
    max_body_memory_mb: int = Field(
        1024,
        ge=1,
        description="Maximum memory in MiB for the bodies of all unanswered requests together. A request "
        "that exceeds it gets 503.",
    )
    shutdown_timeout_s: float = Field(
        25,
        ge=1,
        le=3600,
        allow_inf_nan=False,
        description="Maximum seconds from SIGTERM to the end of the process. Admitted requests are finished "
        "in this time. Keep it below the time after which your supervisor kills the process.",
    )
    workers: int = Field(
        1,
        ge=1,
        le=256,
        description="Number of processes. Each loads its own models and gets an equal share of the cores. "
        "With several processes the service survives a crash of one of them, but needs more memory. Ignored "
        "on a GPU.",
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
            raise ValueError("The file contains no API key")
        return path

    @field_validator("root_path")
    @classmethod
    def _check_root_path(cls, path: str) -> str:
        path = f"/{path.strip().removeprefix('/').removesuffix('/')}".removesuffix("/")
        if path and not _ROOT_PATH.fullmatch(path):
            raise ValueError("The value must be a path such as /facet, of letters, digits, - . _ ~ and /")
        return path

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, proxies: str) -> str:
        _networks(proxies)
        return proxies

    @field_validator("models", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        if isinstance(value, str):
            return frozenset(name for name in (part.strip() for part in value.split(",")) if name) or None
        return value

    def keys(self) -> frozenset[str]:
        """Return the API keys of `api_keys` and of the file `api_keys_file`.

        Raises:
            ValueError: the file cannot be read.
        """
        return self.api_keys | (_read(self.api_keys_file) if self.api_keys_file else frozenset())

    def proxies(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Return the networks of the trusted proxies."""
        return _networks(self.trusted_proxies)


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Return the networks of a text in which commas separate addresses and networks.

    Raises:
        ValueError: a part is neither.
    """
    try:
        return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ValueError(
            f"Each part must be an IP address or a network such as 10.0.0.0/8: {error}"
        ) from error


def _read(path: Path) -> frozenset[str]:
    try:
        return frozenset(_lines(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"The file cannot be read: {error}") from error


def _lines(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _checked(keys: frozenset[str]) -> frozenset[str]:
    """Return the keys.

    Raises:
        ValueError: a key is too short, or cannot be sent in a header. The message does not contain the key.
    """
    for key in keys:
        if len(key) < _MIN_KEY_LENGTH or not (key.isascii() and key.isprintable() and " " not in key):
            raise ValueError(f"A key must have {_MIN_KEY_LENGTH} or more ASCII characters without spaces")
    return keys


def explain(error: ValidationError) -> str:
    """Return the message for a validation error of Settings: one line per invalid environment variable."""
    lines = []
    for problem in error.errors():
        name = f"FACE_{problem['loc'][0]}".upper() if problem["loc"] else "settings"
        message = problem["msg"].removeprefix("Value error, ").replace("Input should", "The value must", 1)
        if problem["type"] == "string_pattern_mismatch" and problem["loc"][0] == "device":
            message = "The value must be auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N"
        secret = problem["loc"] and problem["loc"][0] in _SECRET
        lines.append(f"{name}: {message}." if secret else f"{name}: {message}; it is {problem['input']!r}.")
    return "\n".join(lines)


def unknown_variables(names: Iterable[str]) -> list[str]:
    """Return those of the environment variables that have the prefix FACE_ but are not settings, sorted."""
    known = {f"FACE_{name}".upper() for name in Settings.model_fields}
    return sorted(name for name in names if name.startswith("FACE_") and name not in known)
