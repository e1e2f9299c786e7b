"""What an operator decides: environment variables with the prefix FACE_, read once by main and cli."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_MODELS = Path(__file__).resolve().parent.parent / "models"


class Settings(BaseSettings):
    """The service's settings; each has the environment variable FACE_ and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="FACE_", env_ignore_empty=True, frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", min_length=1, description="address to listen on; 0.0.0.0 for all")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    log_level: Literal["critical", "error", "warning", "info", "debug"] = "info"

    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|(cuda|tensorrt)(:\d+)?)$",
        description="auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N",
    )
    threads: int = Field(0, ge=0, le=1024, description="CPU threads of one net; 0 leaves it to ONNX Runtime")
    gpu_memory_mb: int = Field(0, ge=0, description="most GPU memory of one net in MiB; 0 sets no bound")

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
    max_concurrent: int = Field(4, ge=1, le=256, description="requests worked on at the same time")
    max_queue: int = Field(64, ge=0, description="requests that may wait for a worker; more are turned away")

    @field_validator("models", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        if isinstance(value, str):
            return frozenset(name for name in (part.strip() for part in value.split(",")) if name) or None
        return value


def explain(error: ValidationError) -> str:
    """A validation error of Settings as lines that name the environment variables at fault."""
    lines = []
    for problem in error.errors():
        name = f"FACE_{problem['loc'][0]}".upper() if problem["loc"] else "settings"
        message = problem["msg"]
        if problem["type"] == "string_pattern_mismatch" and problem["loc"][0] == "device":
            message = "Input should be auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N"
        lines.append(f"{name}: {message}; it is {problem['input']!r}.")
    return "\n".join(lines)


def unknown_variables(names: Iterable[str]) -> list[str]:
    """Names of environment variables that begin like a setting's and are none: most likely misspelt."""
    known = {f"FACE_{name}".upper() for name in Settings.model_fields}
    return sorted(name for name in names if name.startswith("FACE_") and name not in known)
