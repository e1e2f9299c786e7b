"""Settings: what an operator decides, as environment variables with the prefix FACE_.

`make generate` writes `.env.example` and docs/reference/settings.md from the descriptions in this file.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.keys import KeyFile, parse_keys
from app.service.calibration_file import CalibrationFile

_SECRET = frozenset({"api_keys", "api_keys_file", "gallery"})

_POSTGRES = ("postgresql://", "postgres://")

_ROOT_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+")

_HOST_NAME = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]")

_SERVICE_LINK = re.compile(
    r"_SERVICE_(HOST|PORT)(_\w+)?=|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=|_PORT=(tcp|udp|sctp)://"
)
"""The variables that Kubernetes sets for each service, after the name of the service."""

_EXPECTED = {
    "device": "The value must be auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N",
    "ray_address": "The value must be local, or host:port on a node of the cluster; ray:// is not supported",
    "ray_replicas": "The value must be a number such as 2, or a range such as 1-8",
}
"""Messages in place of the patterns of settings."""

_ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """The settings of the service, read from environment variables.

    The variable of a setting is its name in capitals after the prefix FACE_: `max_queue` is FACE_MAX_QUEUE.
    """

    model_config = SettingsConfigDict(
        env_prefix="FACE_", env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address to listen on: an IP address, or a name of this machine. 0.0.0.0 accepts "
        "connections from other machines, :: also those over IPv6; before you use it, set API keys or put an "
        "authenticating proxy in front.",
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on. 0 picks a free port.")
    allowed_hosts: str = Field(
        "",
        description="Host names under which clients may address the service, separated by commas. "
        "*.example.org stands for all names below example.org, and * for every name. Requests to another "
        "name get 421. IP addresses and localhost are always allowed. If it is not set, only they and "
        "FACE_HOST are allowed while the service listens on a loopback address without API keys, else every "
        "name.",
    )
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

    otlp_endpoint: str = Field(
        "",
        description="Address of an OpenTelemetry collector that receives traces over HTTP, for example "
        "http://collector:4318. The service sends them to the path /v1/traces below it. It needs the extra "
        "`otel`. If it is not set, nothing is sent.",
    )

    api_keys: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(),
        repr=False,
        description="API keys, separated by commas. Clients must send one of them; if no key and no key file "
        "is set, every client is accepted. A key has 16 or more ASCII characters without spaces. A value "
        "without a key, such as a single comma, prevents the start; an empty value counts as not set.",
    )
    api_keys_file: Annotated[KeyFile | None, NoDecode] = Field(
        None,
        description="File with further API keys, one per line, at most 64 KiB. It must contain a key. A line "
        "that begins with # is a comment. The service reads the file when it starts, and again on SIGHUP. "
        "Use it instead of FACE_API_KEYS if other users can read the environment of the process.",
    )

    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|(cuda|tensorrt)(:\d+)?)$",
        description="Device: auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N. auto uses CUDA if it works, "
        "else the CPU, with a warning. With any other value the start fails if the device is unusable. Set "
        "it explicitly in production, so that a broken driver is noticed.",
    )
    precision: Literal["auto", "float", "int8"] = Field(
        "auto",
        description="Precision of the nets: auto, float or int8. auto uses the int8 files of sface and dlib, "
        "and so of fused, on a CPU with VNNI (x86) or dot product (ARM) instructions, which Linux lists in "
        "/proc/cpuinfo; on any other device it is float. With int8 the start fails on a device that auto "
        "would run in float. Embeddings of both precisions can be compared.",
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

    models_dir: Annotated[tuple[Path, ...], NoDecode] = Field(
        (_ROOT / "models",),
        description="Model folders, separated as in PATH, for example models:my-models. Each has ONNX files "
        "and their manifest.json. The models of all folders are served side by side, so two folders must not "
        "have a model of the same name. The default model of a task is that of the first folder with one.",
    )
    models: Annotated[frozenset[str] | None, NoDecode] = Field(
        None,
        description="Names of the models to load, separated by commas. If it is not set, all models are "
        "loaded. Fewer models start faster and use less memory. At least one detector is required.",
    )
    weights: Literal["all", "free"] = Field(
        "all",
        description="Which weights may be used: all, or free. With free, the files of models that are for "
        "research only, or have no licence, are not opened. The default model of every task is free either "
        "way.",
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

    calibration: Annotated[CalibrationFile | None, NoDecode] = Field(
        None,
        description="Calibration file that `facet calibrate` wrote. Its thresholds and probabilities replace "
        "those of the embedders it names. If the file is invalid, or was made with other weights or with "
        "another default detector, the start fails. The file is read once, when the service starts.",
    )

    gallery: str = Field(
        str(_ROOT / "gallery" / "gallery.db"),
        min_length=1,
        repr=False,
        description="Where the gallery is: people and the embeddings of their faces. It is a file (SQLite), "
        "or a database for several replicas, as postgresql://USER:PASSWORD@HOST:PORT/DATABASE, which needs "
        "the extra postgres. The file and its folder are created by the first request to the gallery, the "
        "tables of a database at the start. If it cannot be used, the routes of the gallery get 503, and the "
        "others work. off switches the gallery off.",
    )
    gallery_search: Literal["memory", "hnsw", "exact"] = Field(
        "memory",
        description="How faces are searched. memory: exactly, in the memory of each process. hnsw: in the "
        "database, by an index that may miss faces. exact: in the database, with all faces. With hnsw and "
        "exact the processes keep no embeddings; both need PostgreSQL.",
    )
    gallery_ef_search: int = Field(
        200,
        ge=40,
        le=1000,
        description="Length of the list of candidates of FACE_GALLERY_SEARCH=hnsw. A greater one finds more "
        "of the faces, and takes longer.",
    )
    gallery_connections: int = Field(
        4, ge=1, le=100, description="Maximum number of connections to PostgreSQL of each process."
    )
    max_gallery_people: int = Field(1_000_000, ge=1, description="Maximum number of people in the gallery.")
    max_gallery_faces: int = Field(
        1_000_000,
        ge=1,
        description="Maximum number of faces in the gallery. A face of `fused` takes 1 KiB of memory in each "
        "process and about 2.5 KiB in the file, a person 1 KiB in the file.",
    )
    max_import_bytes: int = Field(
        256 << 20,
        ge=1024,
        description="Maximum size of an imported collection in bytes. It is in memory during the import; "
        "`facet collections import` has no such limit.",
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
    max_cluster_images: int = Field(
        1000, ge=1, le=100_000, description="Maximum number of images in a request to `/cluster`."
    )
    max_cluster_bytes: int = Field(
        512 << 20,
        ge=1024,
        description="Maximum total size in bytes of the encoded images in a request to `/cluster`. They are "
        "in memory until they are processed, within FACE_MAX_BODY_MEMORY_MB, and must arrive within "
        "FACE_BODY_TIMEOUT_S.",
    )
    max_cluster_faces: int = Field(
        10_000,
        ge=1,
        le=100_000,
        description="Maximum number of faces of all images in a request to `/cluster`. The clustering of n "
        "faces needs up to n * n / 8 bytes of memory in addition to their vectors: 13 MB for 10,000 faces.",
    )
    cluster_timeout_s: float = Field(
        600,
        gt=0,
        allow_inf_nan=False,
        description="Maximum seconds from the end of the body of a request to `/cluster` to its response, in "
        "place of FACE_REQUEST_TIMEOUT_S.",
    )
    max_concurrent: int = Field(
        0,
        ge=0,
        le=256,
        description="Number of worker threads: images processed at the same time. 0 uses two per core, at "
        "least 4 and at most 32. Large images and batches hold at most half of them. More threads need more "
        "memory (one decoded image each) and hardly raise the throughput.",
    )
    max_queue: int = Field(
        28,
        ge=0,
        description="Maximum number of requests that wait for a worker thread. Further requests get 503 at "
        "once. Large images and batches hold at most half of the places. A longer queue absorbs longer "
        "bursts, but its last request waits longer. Keep it below the number of requests that the service "
        "finishes within FACE_REQUEST_TIMEOUT_S.",
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
        description="Maximum number of open connections per process. If all are in use, a connection whose "
        "client is idle or slow is closed for a new request. If there is none, the new one gets 503. Up to "
        "384 refused connections stay open for at most 2.5 seconds, so that their clients can read it. The "
        "service does not start if the process may not open file descriptors for all of them.",
    )
    max_connections_per_client: int = Field(
        0,
        ge=0,
        description="Maximum number of open connections per process and client: an IPv4 address, or a /64 "
        "network of IPv6. 0 sets half of FACE_MAX_CONNECTIONS. Addresses of FACE_TRUSTED_PROXIES, by default "
        "those of this machine, have no such limit: list your proxies there.",
    )
    max_body_memory_mb: int = Field(
        1024,
        ge=1,
        description="Maximum memory in MiB for the bodies of all unanswered requests together. If it is in "
        "use, the body that makes least progress for its size gets 408. If that is the new one, it gets 503.",
    )
    max_response_memory_mb: int = Field(
        256,
        ge=1,
        description="Maximum memory in MiB for responses of more than 64 KiB that clients have not read yet. "
        "If it is in use, the connection that makes least progress for its size is closed. If that is the "
        "new one, its response is replaced by 503.",
    )
    shutdown_timeout_s: float = Field(
        25,
        ge=1,
        le=3600,
        allow_inf_nan=False,
        description="Maximum seconds from SIGTERM to the end of the process. Admitted requests are finished "
        "in this time. Keep it below the time after which your supervisor kills the process.",
    )
    drain_delay_s: float = Field(
        0,
        ge=0,
        allow_inf_nan=False,
        description="Seconds from SIGTERM in which /readyz answers 503 and new requests are still accepted. "
        "Set it behind a balancer, longer than the balancer needs to notice that a replica is not ready. "
        "Then a replica that stops refuses no request. The delay is part of FACE_SHUTDOWN_TIMEOUT_S, and at "
        "most half of it.",
    )
    workers: int = Field(
        1,
        ge=1,
        le=256,
        description="Number of processes. Each loads its own models and gets an equal share of the cores. "
        "With several processes the service survives a crash of one of them, but needs more memory. Ignored "
        "on a GPU.",
    )

    ray_address: str = Field(
        "",
        pattern=r"^(local|[^\s/:]+:\d{1,5})?$",
        description="Ray cluster: local, or host:port of its head node. If it is set, the service sends "
        "whole images to replicas on this cluster, which it starts, and runs no net itself. local starts a "
        "cluster on the cores of this machine and ends it with the process. With host:port this machine must "
        "be a node of the cluster. `facet bulk` uses the same cluster, or local if it is not set. Needs the "
        "extra `ray`.",
    )
    ray_replicas: str = Field(
        "1",
        pattern=r"^[1-9]\d{0,3}(-[1-9]\d{0,3})?$",
        description="Number of replicas on the Ray cluster, for example 2, or a range such as 1-8: then it "
        "follows the number of unanswered requests.",
    )
    ray_cpus: int = Field(
        0,
        ge=0,
        le=1024,
        description="CPUs that Ray reserves for each replica; 0 for as many as this machine has. A replica "
        "on a CPU uses as many threads for its nets, unless FACE_THREADS is set. One replica for each "
        "machine is faster than one for each CPU.",
    )
    ray_gpus: float = Field(
        0,
        ge=0,
        le=1,
        description="GPU that Ray reserves for each replica: 1, or a fraction such as 0.5 if replicas share "
        "a GPU. Ray only places them: FACE_GPU_MEMORY_MB limits their memory, and must be set for a "
        "fraction. With 0 the replicas run on CPUs.",
    )

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        return parse_keys(value) if isinstance(value, str) else value

    @field_validator("api_keys_file", mode="before")
    @classmethod
    def _read_key_file(cls, value: object) -> object:
        return KeyFile.read(Path(value)) if isinstance(value, str | Path) else value

    @field_validator("models_dir", mode="before")
    @classmethod
    def _split_folders(cls, value: object) -> object:
        if not isinstance(value, str):
            return (value,) if isinstance(value, Path) else value
        folders = value.split(os.pathsep)
        if not all(map(str.strip, folders)):
            raise ValueError("The value must be folders, separated as in PATH; one of them has no name")
        return folders

    @field_validator("calibration", mode="before")
    @classmethod
    def _read_calibration(cls, value: object) -> object:
        return CalibrationFile.read(Path(value)) if isinstance(value, str | Path) else value

    @field_validator("host")
    @classmethod
    def _check_host(cls, host: str) -> str:
        host = host.strip()
        if not host.startswith("["):
            return host
        inner = host.removeprefix("[").removesuffix("]")
        with suppress(ValueError):
            if host.endswith("]") and isinstance(ip_address(inner), IPv6Address):
                return inner
        raise ValueError("The value in brackets must be an IPv6 address such as [::1]")

    @field_validator("allowed_hosts")
    @classmethod
    def _check_allowed_hosts(cls, hosts: str) -> str:
        for host in _split(hosts):
            if not _HOST_NAME.fullmatch(host.lower()):
                raise ValueError(
                    "Each part must be a host name such as faces.example.org, *.example.org or *, without "
                    "scheme, port and path"
                )
        return hosts

    @field_validator("root_path")
    @classmethod
    def _check_root_path(cls, path: str) -> str:
        path = f"/{path.strip().removeprefix('/').removesuffix('/')}".removesuffix("/")
        if path and not _ROOT_PATH.fullmatch(path):
            raise ValueError("The value must be a path such as /facet, of letters, digits, - . _ ~ and /")
        return path

    @field_validator("otlp_endpoint")
    @classmethod
    def _check_otlp_endpoint(cls, endpoint: str) -> str:
        if not endpoint:
            return endpoint
        if not _is_base_address(endpoint):
            raise ValueError(
                "The value must be an address such as http://collector:4318, without user, query and the "
                "path /v1/traces. Name credentials in OTEL_EXPORTER_OTLP_HEADERS"
            )
        return endpoint

    @field_validator("gallery")
    @classmethod
    def _check_gallery(cls, gallery: str) -> str:
        if "://" in gallery and not gallery.startswith(_POSTGRES):
            raise ValueError(
                "The value must be the path of a file, postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or off"
            )
        return gallery

    @model_validator(mode="after")
    def _check_gallery_search(self) -> "Settings":
        if self.gallery_search != "memory" and not self.is_gallery_in_postgres:
            raise ValueError(
                f"FACE_GALLERY_SEARCH={self.gallery_search} needs a gallery in PostgreSQL. Set FACE_GALLERY "
                "to the address of a database, or FACE_GALLERY_SEARCH to memory"
            )
        return self

    @model_validator(mode="after")
    def _check_ray(self) -> "Settings":
        least, most = self.ray_replica_range
        if least > most:
            raise ValueError(f"FACE_RAY_REPLICAS={self.ray_replicas} is no range: the first number is larger")
        if 0 < self.ray_gpus < 1 and not self.gpu_memory_mb:
            raise ValueError(
                f"FACE_RAY_GPUS={self.ray_gpus:g} puts several replicas on a GPU, whose memory Ray does not "
                "divide. Set FACE_GPU_MEMORY_MB, too"
            )
        if self.ray_address and self.ray_gpus and (self.device == "cpu" or ":" in self.device):
            raise ValueError(
                f"FACE_DEVICE={self.device} contradicts FACE_RAY_GPUS={self.ray_gpus:g}, by which Ray "
                "chooses the GPU. Set it to cuda or tensorrt"
            )
        if self.ray_address and not self.ray_gpus and self.device.startswith(("cuda", "tensorrt")):
            raise ValueError(
                f"FACE_DEVICE={self.device} needs a GPU for the replicas on the Ray cluster. Set "
                "FACE_RAY_GPUS to 1 or to a fraction"
            )
        return self

    @property
    def ray_replica_range(self) -> tuple[int, int]:
        """The minimum and the maximum number of replicas on the Ray cluster."""
        least, _, most = self.ray_replicas.partition("-")
        return int(least), int(most or least)

    @property
    def is_gallery_off(self) -> bool:
        """Whether the gallery is switched off."""
        return self.gallery.lower() == "off"

    @property
    def is_gallery_in_postgres(self) -> bool:
        """Whether the gallery is in a PostgreSQL database."""
        return self.gallery.startswith(_POSTGRES)

    @field_validator("drain_delay_s")
    @classmethod
    def _check_drain_delay(cls, delay: float, info: ValidationInfo) -> float:
        timeout = info.data.get("shutdown_timeout_s", delay * 2)  # missing if it is invalid itself
        if delay > timeout / 2:
            raise ValueError(
                f"The value must be at most half of FACE_SHUTDOWN_TIMEOUT_S, which is {timeout:g}"
            )
        return delay

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, proxies: str) -> str:
        _networks(proxies)
        return proxies

    @field_validator("models", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        if isinstance(value, str):
            return frozenset(_split(value)) or None
        return value

    def keys(self) -> frozenset[str]:
        """Return the API keys of `api_keys` and of the file `api_keys_file`, as it was when it was read."""
        return self.api_keys | (self.api_keys_file.keys if self.api_keys_file else frozenset())

    def with_new_keys(self) -> "Settings":
        """Return the same settings with the keys that the file `api_keys_file` contains now.

        Raises:
            ValueError: the file cannot be read, contains no key or an invalid one. The message has no key.
        """
        if self.api_keys_file is None:
            return self
        return self.model_copy(update={"api_keys_file": self.api_keys_file.read_again()})

    def hosts(self) -> frozenset[str]:
        """Return the allowed host names in lower case; they include `*` if every name is allowed."""
        if names := _split(self.allowed_hosts.lower()):
            return frozenset(names)
        local = is_loopback(self.host) and not self.api_keys and self.api_keys_file is None
        return frozenset({self.host.lower() if local else "*"})

    def proxies(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Return the networks of the trusted proxies."""
        return _networks(self.trusted_proxies)


def is_loopback(host: str) -> bool:
    """Return whether a host name or IP address can be reached from this machine only."""
    with suppress(ValueError):
        return ip_address(host.strip("[]")).is_loopback
    return host.lower() == "localhost"


def _split(text: str) -> list[str]:
    """Return the parts of a text in which commas separate them, without spaces and empty parts."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _is_base_address(text: str) -> bool:
    """Return whether a text is an address of HTTP without user, query and the path of OTLP."""
    try:
        address = urlsplit(text)
        valid = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:
        return False
    plain = "@" not in address.netloc and not address.query and not address.fragment
    return valid and plain and not address.path.rstrip("/").endswith("/v1/traces")


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Return the networks of a text in which commas separate addresses and networks.

    Raises:
        ValueError: a part is neither.
    """
    try:
        return tuple(ip_network(part, strict=False) for part in _split(text))
    except ValueError as error:
        raise ValueError(
            f"Each part must be an IP address or a network such as 10.0.0.0/8: {error}"
        ) from error


def explain(error: ValidationError) -> str:
    """Return the message for a validation error of Settings: one line per invalid environment variable."""
    lines = []
    for problem in error.errors():
        name = f"FACE_{problem['loc'][0]}".upper() if problem["loc"] else "settings"
        message = problem["msg"].removeprefix("Value error, ").replace("Input should", "The value must", 1)
        if problem["type"] == "string_pattern_mismatch":
            message = _EXPECTED[str(problem["loc"][0])]
        secret = not problem["loc"] or problem["loc"][0] in _SECRET
        lines.append(f"{name}: {message}." if secret else f"{name}: {message}; it is {problem['input']!r}.")
    return "\n".join(lines)


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Return a message for each environment variable with the prefix FACE_ that is not a setting.

    A variable without a value is ignored, as one of a setting is. A setting with the prefix FACET_ has a
    message too. The messages contain no values.

    Args:
        environment: the values of the environment variables by name.

    Returns:
        Full sentences that name the variable, and the setting with the most similar name.
    """
    settings = {name.upper() for name in Settings.model_fields}
    messages, links = [], []
    for name, value in sorted(environment.items()):
        prefix, _, rest = name.upper().partition("_")
        wrong = (prefix, rest in settings) in (("FACE", False), ("FACET", True))
        if not wrong or not value:
            continue
        if _SERVICE_LINK.search(f"{name}={value}"):
            links += [name] if prefix == "FACE" else []
            continue
        near = get_close_matches(rest, settings, 1)
        hint = f"Did you mean FACE_{near[0]}?" if near else "docs/reference/settings.md lists the settings."
        messages.append(f"{name}: This is not a setting of Facet. {hint} Correct or remove the variable.")
    if links:
        messages.append(
            f"{', '.join(links)}: Kubernetes sets these variables for a service whose name begins with "
            "face. Set enableServiceLinks: false in the pod."
        )
    return messages
