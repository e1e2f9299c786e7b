"""Several pictures in one request: `/detect/batch`, `/landmarks/batch`, `/embed/batch`."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from app.main import create_app
from app.settings import Settings
from tests.api.pictures import photo, picture, problem
from tests.fakes import fake_analyzer
from tests.servers import client_of, serving

TASKS = ("detect", "landmarks", "embed")


def send(client: httpx.Client, address: str, pictures: Sequence[bytes], **query: Any) -> httpx.Response:
    return client.post(address, files=[("image", data) for data in pictures], params=query)


def without_times(answer: dict[str, Any]) -> dict[str, Any]:
    assert answer["timing_ms"]["total"] > 0
    return {name: value for name, value in answer.items() if name != "timing_ms"}


@pytest.mark.parametrize("task", TASKS)
def test_each_picture_is_answered_as_it_is_alone_and_in_order(client: httpx.Client, task: str) -> None:
    pictures = [picture(100 + 20 * i, 80, bright=i != 2, format=("JPEG", "PNG")[i % 2]) for i in range(5)]
    alone = [without_times(client.post(f"/{task}", files={"image": p}).json()) for p in pictures]
    together = send(client, f"/{task}/batch", pictures)
    assert together.status_code == 200
    assert together.headers["content-type"] == "application/json"
    assert [without_times(result) for result in together.json()["results"]] == alone
    assert [result["image"]["width"] for result in together.json()["results"]] == [100, 120, 140, 160, 180]


@pytest.mark.parametrize("task", TASKS)
def test_a_bad_picture_fails_alone(client: httpx.Client, task: str) -> None:
    large = b"\xff\xd8\xff" + bytes(250_000)  # over the fake server's limit of bytes
    pictures = [picture(), b"no picture", large, picture()[:-400], picture(2000, 2000), b"", picture(80, 80)]
    response = send(client, f"/{task}/batch", pictures)
    assert response.status_code == 200
    results = response.json()["results"]
    assert [len(results[i]["faces"]) for i in (0, 6)] == [2, 2]
    kinds = ["not-an-image", "too-many-bytes", "truncated-image", "too-many-pixels", "not-an-image"]
    statuses = [422, 413, 422, 413, 422]
    for result, kind, status in zip(results[1:6], kinds, statuses, strict=True):
        assert result["type"] == f"/problems/{kind}"
        assert result["status"] == status
        assert result["instance"] == f"/{task}/batch"
        assert result["field"] == "image"
    assert results[2]["limit"] == 200_000


def test_parameters_hold_for_all_pictures(client: httpx.Client) -> None:
    response = send(client, "/landmarks/batch", [picture()] * 2, max_faces=1, model="other-points")
    assert [len(result["faces"]) for result in response.json()["results"]] == [1, 1]
    assert {result["model"] for result in response.json()["results"]} == {"other-points"}


@pytest.mark.parametrize("task", TASKS)
def test_what_is_wrong_with_the_request_fails_as_a_whole(client: httpx.Client, task: str) -> None:
    address = f"/{task}/batch"
    problem(send(client, address, [picture()], model="nobody"), 422, "unknown-model", "model")
    problem(send(client, address, [picture()], max_faces=51), 422, "bad-parameter", "max_faces")
    problem(send(client, address, [picture()], size=3), 422, "bad-parameter", "size")
    problem(client.post(address, content=picture()), 415, "unsupported-media-type")
    problem(client.post(address, json={"image": ["a"]}), 415, "unsupported-media-type")
    jpeg = {"content-type": "image/jpeg"}
    problem(client.post(address, content=picture(), headers=jpeg), 415, "unsupported-media-type")
    problem(client.post(address, files={"picture": picture()}), 422, "bad-parameter", "picture")
    files = {"image": picture()}
    problem(client.post(address, files=files, headers={"accept": "image/png"}), 406, "not-acceptable")


def test_how_many_pictures_there_may_be() -> None:
    app = create_app(Settings(max_batch_images=3, max_batch_bytes=400_000), fake_analyzer())
    with serving(app) as url, client_of(url) as client:
        assert len(send(client, "/detect/batch", [picture()] * 3).json()["results"]) == 3
        for count in (4, 5):
            body = problem(send(client, "/detect/batch", [picture()] * count), 422, "bad-parameter")
            assert "more than 3 parts" in body["detail"]
        empty = b"--cut--\r\n"
        headers = {"content-type": "multipart/form-data; boundary=cut"}
        problem(client.post("/detect/batch", content=empty, headers=headers), 422, "bad-parameter", "image")
        body = problem(send(client, "/detect/batch", [bytes(350_000)] * 2), 413, "too-many-bytes")
        assert body["limit"] == 400_000


def test_pictures_of_a_batch_take_turns_with_other_requests() -> None:
    """A batch has one place, whatever the number of its pictures, and all of them are worked on."""
    app = create_app(Settings(max_concurrent=2, max_queue=0, max_batch_images=12), fake_analyzer())
    with serving(app) as url, client_of(url) as client:
        results = send(client, "/detect/batch", [picture()] * 12).json()["results"]
        assert [len(result["faces"]) for result in results] == [2] * 12
        assert app.state.service.admission.admitted == 0


def test_a_batch_that_gets_no_place_is_refused_as_a_whole() -> None:
    entered, gate = threading.Event(), threading.Event()
    calls = [0]

    def hold() -> None:
        calls[0] += 1
        if calls[0] > 1:  # the warm-up is the first call
            entered.set()
            gate.wait(30)

    app = create_app(Settings(max_concurrent=2, max_queue=0), fake_analyzer(hold))
    with serving(app) as url, client_of(url) as client, ThreadPoolExecutor() as pool:
        try:
            first = pool.submit(send, client, "/detect/batch", [picture()] * 2)
            assert entered.wait(10)
            refused = send(client, "/detect/batch", [picture()] * 3)
            problem(refused, 503, "overloaded")
            assert int(refused.headers["retry-after"]) > 0
        finally:
            gate.set()
        assert ["faces" in result for result in first.result().json()["results"]] == [True] * 2
        metrics = client.get("/metrics").text
        assert 'face_rejected_total{reason="queue-full"} 1.0' in metrics


def test_a_deadline_is_the_whole_batchs_and_what_was_done_stays() -> None:
    calls, gate = [0], threading.Event()

    def hold() -> None:
        calls[0] += 1
        if calls[0] == 4:  # the third picture; the warm-up is the first call
            gate.wait(30)

    app = create_app(Settings(max_concurrent=1, request_timeout_s=0.7), fake_analyzer(hold))
    try:
        with serving(app) as url, client_of(url) as client:
            results = send(client, "/detect/batch", [picture()] * 4).json()["results"]
            assert ["faces" in result for result in results] == [True, True, False, False]
            assert {r["type"] for r in results[2:]} == {"/problems/deadline-exceeded"}
            gate.set()
    finally:
        gate.set()


def test_photographs(real: httpx.Client) -> None:
    names = ("obama.jpg", "astronaut.png", "biden.jpg")
    response = send(real, "/embed/batch", [photo(name) for name in names])
    for name, result in zip(names, response.json()["results"], strict=True):
        alone = real.post("/embed", files={"image": photo(name)}).json()
        assert [face["box"] for face in result["faces"]] == [face["box"] for face in alone["faces"]]
        assert len(result["faces"]) == 1
