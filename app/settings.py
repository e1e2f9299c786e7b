"""What an operator decides: environment variables with the prefix FACE_, read once by main and cli."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_KEY_LENGTH = 16
_SECRET = frozenset({"api_keys"})

_MODELS = Path(__file__).resolve().parent.parent / "models"


class Settings(BaseSettings):
    """The service's settings; each has the environment variable FACE_ and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="FACE_", env_ignore_empty=True, frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", min_length=1, description="address to listen on; 0.0.0.0 for all")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    log_level: Literal["critical", "error", "warning", "info", "debug"] = "info"
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="json, text, or auto: text on a terminal, JSON elsewhere"
    )

    api_keys: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(), repr=False, description="keys that callers must bring, parted by commas; none when unset"
    )
    api_keys_file: Path | None = Field(None, description="file of more keys, one a line")

    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|(cuda|tensorrt)(:\d+)?)$",
        description="auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N",
    )
    threads: int = Field(0, ge=0, le=1024, description="CPU threads of one net; 0 leaves it to ONNX Runtime")
    gpu_memory_mb: int = Field(0, ge=0, description="most GPU memory of one net in MiB; 0 sets no bound")
    tensorrt_cache: Path | None = Field(
        None, description="folder in which TensorRT keeps the engines it builds; none are kept when unset"
    )

    models_dir: Path = Field(_MODELS, description="folder of the ONNX files and their manifest.json")
    models: Annotated[frozenset[str] | None, NoDecode] = Field(
        None, description="names of the models to load, parted by commas; all when unset"
    )
    detector: str | None = Field(None, description="detector taken when a request names none")
    landmarks: str | None = Field(None, description="landmark model taken when a request names none")
    embedder: str | None = Field(None, description="embedder taken when a request names none")

    max_image_bytes: int = Field(20 << 20, ge=1024, description="most bytes of one encoded picture")
    max_image_pixels: int = Field(
        50_000_000, ge=1024, le=178_000_000, description="most pixels of one picture, width times height"
    )
    max_faces_limit: int = Field(1000, ge=1, description="most faces in an answer")
    max_boxes: int = Field(256, ge=1, description="most boxes a request may bring")
    max_batch_images: int = Field(16, ge=1, le=256, description="most pictures of one batch")
    max_batch_bytes: int = Field(64 << 20, ge=1024, description="most bytes of one batch's pictures together")
    max_concurrent: int = Field(
        0, ge=0, le=256, description="pictures worked on at the same time; 0 takes two a core, 4 to 32"
    )
    max_queue: int = Field(28, ge=0, description="requests that may wait for a worker; more are turned away")
    deadline_s: float = Field(
        30,
        ge=0,
        allow_inf_nan=False,
        description="seconds a request may take once it has come; 0 sets no bound",
    )
    silence_s: float = Field(
        10, gt=0, le=3600, description="seconds a client may be silent in a body, or take for a head"
    )
    body_s: float = Field(60, gt=0, le=3600, description="seconds a body may take to come")
    body_rate: float = Field(
        16384, gt=0, description="least bytes a second of a body, once the time of silence is over"
    )
    answer_s: float = Field(60, gt=0, le=3600, description="seconds a client may take to read an answer")
    max_connections: int = Field(512, ge=1, description="open connections; more are turned away")
    max_body_memory_mb: int = Field(
        1024, ge=1, description="MiB of bodies in memory at once; more are turned away"
    )
    grace_s: float = Field(
        25,
        ge=1,
        le=3600,
        allow_inf_nan=False,
        description="seconds from SIGTERM to the end; what runs is finished",
    )
    batching: bool = Field(True, description="whether requests share the device's batches")
    workers: int = Field(
        1, ge=1, le=256, description="processes on a CPU, each with its own models; a GPU has one"
    )

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        return frozenset(_lines(value.replace(",", "\n"))) if isinstance(value, str) else value

    @field_validator("api_keys")
    @classmethod
    def _check_keys(cls, keys: frozenset[str]) -> frozenset[str]:
        _check(keys)
        return keys

    @field_validator("api_keys_file")
    @classmethod
    def _check_file(cls, path: Path | None) -> Path | None:
        if path is not None and not _check(_read(path)):
            raise ValueError("the file holds no key")
        return path

    def keys(self) -> frozenset[str]:
        """Every key, those of the file among them."""
        return self.api_keys | (_read(self.api_keys_file) if self.api_keys_file else frozenset())

    @field_validator("models", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        if isinstance(value, str):
            return frozenset(name for name in (part.strip() for part in value.split(",")) if name) or None
        return value


def _read(path: Path) -> frozenset[str]:
    try:
        return frozenset(_lines(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the file cannot be read: {error}") from error


def _lines(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _check(keys: frozenset[str]) -> frozenset[str]:
    """Raises ValueError, which does not show the key, for one that can be guessed or not be sent."""
    for key in keys:
        if len(key) < _KEY_LENGTH or not (key.isascii() and key.isprintable() and " " not in key):
            raise ValueError(f"a key must be {_KEY_LENGTH} or more ASCII characters without spaces")
    return keys


def explain(error: ValidationError) -> str:
    """A validation error of Settings as lines that name the environment variables at fault."""
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
    """Names of environment variables that begin like a setting's and are none: most likely misspelt."""
    known = {f"FACE_{name}".upper() for name in Settings.model_fields}
    return sorted(name for name in names if name.startswith("FACE_") and name not in known)
