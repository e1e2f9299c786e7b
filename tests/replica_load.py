"""Clients of replicas with one gallery: mixed requests, and checks that no answered enrolment is missing."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import httpx

from tests.replica_set import Replica
from tests.servers import client_of

COLLECTION = "staff"
PEOPLE = f"/collections/{COLLECTION}/people"
_FILES = ("obama.jpg", "biden.jpg", "astronaut.png")
_HEIGHT = 400

Ask = tuple[str, str, bytes]
"""A request: the name of its kind, its path, and its body."""


@dataclass(frozen=True)
class Sample:
    """A request through the balancer.

    Attributes:
        kind: `detect`, `identify`, `add person` or `add face`.
        start: when it was sent, by `time.monotonic`.
        end: when its answer was complete.
        status: its status; 0 if the connection ended without one.
        reason: the start of the answer's text, if the status is not one of success.
    """

    kind: str
    start: float
    end: float
    status: int
    reason: str = ""

    @property
    def is_lost(self) -> bool:
        """Whether the client has no answer to what it asked."""
        return self.status not in (200, 201)


@dataclass
class Record:
    """What the clients saw. Its lists are changed under the lock.

    Attributes:
        samples: all requests through the balancer.
        enrolled: the people and faces whose enrolment was answered with success.
        checks: number of searches in one replica for a face that was just enrolled.
        wrong: descriptions of answers that lack something that had been answered before.
        lock: the lock.
    """

    samples: list[Sample] = field(default_factory=list)
    enrolled: list[tuple[str, str]] = field(default_factory=list)
    checks: int = 0
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def lost(self) -> list[Sample]:
        """The requests without an answer to what they asked."""
        return [sample for sample in self.samples if sample.is_lost]

    def statuses(self) -> dict[str, dict[int, int]]:
        """Return the number of answers by kind and status."""
        kinds = sorted({sample.kind for sample in self.samples})
        return {
            k: dict(sorted(Counter(s.status for s in self.samples if s.kind == k).items())) for k in kinds
        }


def photos() -> list[bytes]:
    """Return small JPEGs of three people."""
    found = []
    for name in _FILES:
        image = cv2.imread(f"tests/photos/{name}")
        assert image is not None
        scale = _HEIGHT / image.shape[0]
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        found.append(cv2.imencode(".jpg", small)[1].tobytes())
    return found


class Client:
    """One client, which sends a request after the answer to the last one.

    Args:
        url: address of the balancer.
        replicas: the replicas, each of which is asked for every enrolled face.
        record: what the clients saw.
        seed: seed of its random choices.
    """

    def __init__(self, url: str, replicas: Sequence[Replica], record: Record, seed: int) -> None:
        self._http = client_of(url, 60)
        self._replicas = replicas
        self._record = record
        self._random = random.Random(seed)
        self._photos = photos()

    def run(self, until: Callable[[], bool]) -> None:
        """Send requests until the condition is true."""
        actions = [self._detect] * 2 + [self._identify] * 2 + [self._enrol]
        while not until():
            self._random.choice(actions)(self._random.choice(self._photos))
        self._http.close()

    def _detect(self, photo: bytes) -> None:
        self._send("detect", "/detect", photo)

    def _identify(self, photo: bytes) -> None:
        known = len(self._record.enrolled)
        answer = self._send("identify", f"/collections/{COLLECTION}/identify", photo)
        if answer is not None and answer.is_success:
            self._check_count("the balancer", answer, known)

    def _enrol(self, photo: bytes) -> None:
        answer = self._send("add person", PEOPLE, b"{}", "application/json")
        if answer is None or answer.status_code != 201:
            return
        person = answer.json()["id"]
        answer = self._send("add face", f"{PEOPLE}/{person}/faces", photo)
        if answer is None or answer.status_code != 200:
            return
        (result,) = answer.json()["results"] if "results" in answer.json() else [answer.json()]
        with self._record.lock:
            self._record.enrolled.append((person, result["face"]["id"]))
            known = len(self._record.enrolled)
        for replica in self._replicas:
            self._check(replica, person, photo, known)

    def _check(self, replica: Replica, person: str, photo: bytes, known: int) -> None:
        """Ask a replica directly for a face that was just enrolled, if it runs."""
        try:
            with client_of(replica.url, 60) as http:
                headers = {"Content-Type": "image/jpeg"}
                path = f"/collections/{COLLECTION}/identify?top=1"
                found = http.post(f"{PEOPLE}/{person}/verify", content=photo, headers=headers)
                searched = http.post(path, content=photo, headers=headers)
        except httpx.TransportError:
            return  # it was killed, or is starting
        if 503 in (found.status_code, searched.status_code):
            return  # it is starting or stopping
        with self._record.lock:
            self._record.checks += 1
        if found.status_code != 200 or found.json()["similarity"] < 0.99:
            self._report(f"{replica.name} does not find {person}: {found.text[:200]}")
        self._check_count(replica.name, searched, known)

    def _check_count(self, where: str, answer: httpx.Response, known: int) -> None:
        faces = answer.json().get("gallery_faces", -1)
        if faces < known:
            self._report(f"{where} searched {faces} faces when {known} were enrolled: {answer.text[:200]}")

    def _send(
        self, kind: str, path: str, body: bytes, content_type: str = "image/jpeg"
    ) -> httpx.Response | None:
        start = time.monotonic()
        try:
            answer = self._http.post(path, content=body, headers={"Content-Type": content_type})
            sample = Sample(kind, start, time.monotonic(), answer.status_code)
            if sample.is_lost:
                sample = Sample(kind, start, sample.end, sample.status, answer.text[:200])
        except httpx.TransportError as error:
            answer, sample = None, Sample(kind, start, time.monotonic(), 0, repr(error))
        with self._record.lock:
            self._record.samples.append(sample)
        return answer

    def _report(self, text: str) -> None:
        with self._record.lock:
            self._record.wrong.append(text)


def faces_of(url: str) -> dict[str, list[str]]:
    """Return the ids of the faces of each person of the collection, as one replica lists them."""
    found: dict[str, list[str]] = {}
    with client_of(url, 60) as http:
        query: dict[str, str] = {"limit": "100"}
        while True:
            page = http.get(PEOPLE, params=query).raise_for_status().json()
            for person in page["people"]:
                faces = http.get(f"{PEOPLE}/{person['id']}/faces").raise_for_status().json()["faces"]
                found[person["id"]] = [face["id"] for face in faces]
            if not page.get("cursor"):
                return found
            query["cursor"] = page["cursor"]
