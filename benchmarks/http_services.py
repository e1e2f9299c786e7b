"""Face services that run on this machine: how each is started and asked."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks import others
from benchmarks.pictures import Ask, jpeg, photographs
from benchmarks.served import free_port, running
from training.evaluation.user_errors import UserError
from training.importers.packages import SourceError

SIZE = (1024, 768)
"""Width and height of the images in pixels."""

PAIR = (2, 3)
"""Two photos of one person, by their index among the photos of the project."""

DETECT, VERIFY = "detect", "verify"
_START_TIMEOUT_S = 120.0


class NoAnswer(UserError):
    """A service cannot be measured."""


@dataclass(frozen=True)
class Contender:
    """A service, and how it is started and asked.

    Attributes:
        name: name in the tables.
        command: the command; `{port}` stands for the port.
        variables: variables added to the environment.
        pair: names of the parts of the two images of a verification.
        fields: further fields of a verification.
        detects: whether it has a route for detection alone.
    """

    name: str
    command: tuple[str, ...]
    variables: Mapping[str, str]
    pair: tuple[str, str] = ("image_a", "image_b")
    fields: Mapping[str, str] = field(default_factory=dict)
    detects: bool = True

    def asks(self) -> dict[str, list[Ask]]:
        """Return the requests of each task that the service has."""
        images = [jpeg(*SIZE, photo) for photo in range(len(photographs()))]
        pair = {name: images[photo] for name, photo in zip(self.pair, PAIR, strict=True)}
        detect = {DETECT: [form("/detect", {"image": image}) for image in images]} if self.detects else {}
        return detect | {VERIFY: [form("/verify", pair, self.fields)]}


def form(path: str, files: Mapping[str, bytes], fields: Mapping[str, str] | None = None) -> Ask:
    """Return a request with a form, encoded.

    Args:
        path: path of the route.
        files: the parts with a JPEG file, by name.
        fields: further fields.
    """
    parts = {name: (f"{name}.jpg", data, "image/jpeg") for name, data in files.items()}
    request = httpx.Request("POST", f"http://host{path}", files=parts, data=dict(fields or {}))
    return Ask(path, (request.read(),), body_type=request.headers["content-type"])


def contenders(deepface: Path | None, home: Path) -> list[Contender]:
    """Return the services. Facet is the first, to which the ratios refer.

    Args:
        deepface: folder of the programs of deepface's environment; if None, deepface is left out.
        home: a folder, in which deepface looks for its weights.

    Returns:
        The services.

    Raises:
        NoAnswer: the weights cannot be downloaded, or the environment does not have deepface's server.
    """
    if deepface and not (deepface / "gunicorn").is_file():
        raise NoAnswer(
            f"{deepface} does not have gunicorn. Run `make bench-http`, which installs deepface[api]."
        )
    try:
        yunet, sface = (others.opencv_file(net) for net in (others.YUNET, others.SFACE))
    except SourceError as error:
        raise NoAnswer(str(error)) from error
    facet = (sys.executable, "-m", "app", "serve", "--port", "{port}")
    plain = (sys.executable, "-m", "uvicorn", "benchmarks.opencv_service:app", "--port", "{port}")
    # The other services have neither a gallery nor a time limit.
    quiet = {"FACE_LOG_LEVEL": "warning", "FACE_GALLERY": "off", "FACE_REQUEST_TIMEOUT_S": "0"}
    services = [
        Contender("Facet", facet, quiet),
        Contender("Facet, only `cascade` and `sface`", facet, {**quiet, "FACE_MODELS": "cascade,sface"}),
        Contender("FastAPI with OpenCV", (*plain, "--no-access-log"), {"YUNET": yunet, "SFACE": sface}),
    ]
    return services if deepface is None else services + _deepface(deepface, home, [Path(yunet), Path(sface)])


def _deepface(programs: Path, home: Path, nets: list[Path]) -> list[Contender]:
    """Return deepface's API with one worker process, as its container has it, and with one per core."""
    weights = home / ".deepface" / "weights"
    weights.mkdir(parents=True)
    for net in nets:
        (weights / net.name).symlink_to(net)
    variables = {
        "HOME": str(home),
        "DEEPFACE_HOME": str(home),
        "DEEPFACE_FACE_DETECTION_MODELS": "yunet",
        "DEEPFACE_FACE_RECOGNITION_MODELS": "SFace",
    }
    server = (str(programs / "gunicorn"), "--timeout=7200", "--log-level=warning", "--bind=127.0.0.1:{port}")
    return [
        Contender(
            f"deepface, {count} worker{'s' if count > 1 else ''}",
            (*server, f"--workers={count}", "deepface.api.src.app:create_app()"),
            variables,
            pair=("img1", "img2"),
            fields={"detector_backend": "yunet", "model_name": "SFace"},
            detects=False,
        )
        for count in dict.fromkeys((1, len(os.sched_getaffinity(0))))
    ]


@contextmanager
def started(contender: Contender, ask: Ask) -> Iterator[tuple[str, int, float]]:
    """Run a service while the context is open.

    Args:
        contender: the service.
        ask: a verification of two photos of one person.

    Yields:
        Its address, its process id, and the seconds from its start to its first answer.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [part.format(port=port) for part in contender.command]
    begun = time.perf_counter()
    with running(command, contender.variables) as process:
        first_answer(url, ask, process)
        yield url, process.pid, time.perf_counter() - begun


def first_answer(
    url: str, ask: Ask, process: "subprocess.Popen[bytes]", timeout_s: float = _START_TIMEOUT_S
) -> None:
    """Send a verification again and again, until a service answers that both faces are of one person.

    Raises:
        NoAnswer: the service ends, does not answer in time, or gives another answer.
    """
    end, said = time.monotonic() + timeout_s, "nothing"
    while time.monotonic() < end and process.poll() is None:
        try:
            answer = httpx.post(
                f"{url}{ask.path}",
                content=ask.images[0],
                headers={"content-type": ask.content_type},
                timeout=timeout_s,
            )
        except httpx.TransportError:
            time.sleep(0.02)
            continue
        said = answer.text[:300]
        if answer.is_success:
            if answer.json().get("verified") is True:
                return
            break
        time.sleep(0.02)
    raise NoAnswer(f"The service at {url} does not verify the pair of photos. It answered: {said}")
