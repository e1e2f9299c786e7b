"""Many clients at once get the answers that each would get alone."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np

from tests.api.pictures import photo, picture
from tests.servers import http

CLIENTS = 32
NAMES = ("obama.jpg", "obama2.jpg", "obama_partial_face.jpg", "astronaut.png")
PIXELS = 0.01
"""How far a coordinate may differ: a net's last bits depend on how many crops it sees in one call."""
COSINE = 1e-5


def ask(url: str, task: str, data: bytes) -> dict[str, Any]:
    response = http.post(f"{url}/{task}", files={"image": data}, timeout=120)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def numbers(face: dict[str, Any]) -> np.ndarray:
    points = [value for point in face["keypoints"].values() for value in point]
    landmarks = [value for point in face.get("landmarks", []) for value in point]
    return np.array([*face["box"].values(), *points, *landmarks])


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one["image"] == other["image"]
    assert len(one["faces"]) == len(other["faces"])
    for a, b in zip(one["faces"], other["faces"], strict=True):
        assert np.abs(numbers(a) - numbers(b)).max() <= PIXELS
        assert abs(a["score"] - b["score"]) <= 1e-4
        if "embedding" in a:
            assert np.dot(a["embedding"], b["embedding"]) >= 1 - COSINE


def test_thirty_two_clients(server: str) -> None:
    jobs = [(task, photo(name)) for task in ("detect", "landmarks", "embed") for name in NAMES]
    jobs = [jobs[i % len(jobs)] for i in range(CLIENTS)]
    alone = {job: ask(server, *job) for job in set(jobs)}
    with ThreadPoolExecutor(CLIENTS) as clients:
        together = list(clients.map(lambda job: ask(server, *job), jobs))
    for job, answer in zip(jobs, together, strict=True):
        same(answer, alone[job])
        assert answer["timing_ms"]["queue"] >= 0


def test_bad_requests_among_good_ones(server: str) -> None:
    def mixed(number: int) -> httpx.Response:
        data = (photo("astronaut.png"), b"no picture", picture()[:-400], picture(40, 40))[number % 4]
        return http.post(f"{server}/detect", files={"image": data}, timeout=120)

    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(mixed, range(CLIENTS)))
    assert [answer.status_code for answer in answers] == [200, 422, 422, 200] * (CLIENTS // 4)
    assert all(len(answer.json()["faces"]) == 1 for answer in answers[::4])
