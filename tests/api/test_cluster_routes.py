"""`/cluster`, over fake nets: a face is as similar to another as the colours of both."""

import io
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image as Pil

from app.main import create_app
from app.settings import Settings
from tests.api.pictures import photo, picture, problem
from tests.fakes import fake_analyzer
from tests.servers import client_of, serving

RED, GREEN, BLUE = (220, 40, 40), (40, 220, 40), (40, 40, 220)
RED_AGAIN = (220, 96, 30)  # as similar to RED as two images of a person
DARK = (0, 0, 0)


def faces(left: tuple[int, int, int], right: tuple[int, int, int] = BLUE, width: int = 200) -> bytes:
    """A picture with two faces of these colours; in a dark one there is none."""
    pixels = np.zeros((120, width, 3), np.uint8)
    pixels[:, : width // 2], pixels[:, width // 2 :] = left, right
    out = io.BytesIO()
    Pil.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def send(client: httpx.Client, pictures: Sequence[bytes], **query: Any) -> httpx.Response:
    return client.post("/cluster", files=[("image", data) for data in pictures], params=query)


def by_side(body: dict[str, Any]) -> list[list[int | None]]:
    """The clusters of the faces of each image, from left to right."""
    return [
        [face["cluster"] for face in sorted(result["faces"], key=lambda face: face["box"]["x1"])]
        for result in body["results"]
    ]


@pytest.fixture
def small() -> Iterator[httpx.Client]:
    """A client of a service with low limits on clusters."""
    settings = Settings(max_cluster_images=3, max_cluster_bytes=400_000, max_cluster_faces=4)
    with serving(create_app(settings, fake_analyzer())) as url, client_of(url) as client:
        yield client


def test_the_faces_of_a_person_have_one_number(client: httpx.Client) -> None:
    pictures = [
        faces(RED, GREEN),
        faces(GREEN, RED_AGAIN, width=240),
        faces(DARK, DARK),
        faces(RED, BLUE),
    ]
    response = send(client, pictures)
    body = response.json()
    assert response.status_code == 200, body
    assert by_side(body) == [[0, 1], [1, 0], [], [0, None]]
    assert body["clusters"] == 2
    assert (body["threshold"], body["far"]) == (0.75, 0.001)
    assert (body["model"], body["detector"]) == ("vectors", "detector")
    assert [result["image"]["width"] for result in body["results"]] == [200, 240, 200, 200]
    alone = client.post("/detect", files={"image": pictures[1]}).json()["faces"]
    for face, other in zip(body["results"][1]["faces"], alone, strict=True):
        assert {name: value for name, value in face.items() if name != "cluster"} == other


def test_two_faces_of_a_picture_are_two_people(client: httpx.Client) -> None:
    first, second = by_side(send(client, [faces(RED, RED), faces(RED, BLUE)]).json())
    assert sorted(first, key=str) == [0, None]
    assert second == [0, None]


def test_parameters(client: httpx.Client) -> None:
    pair = [faces(RED), faces(GREEN)]
    body = send(client, pair, threshold=0.1, model="other-vectors", max_faces=1).json()
    assert by_side(body) == [[0], [0]]
    assert (body["threshold"], body["far"], body["model"]) == (0.1, None, "other-vectors")
    assert by_side(send(client, pair, max_faces=1).json()) == [[None], [None]]
    strict = send(client, pair, threshold=0.95).json()  # not a minimum score of a face
    assert by_side(strict) == [[None, 0], [None, 0]]


def test_a_bad_picture_fails_alone(client: httpx.Client) -> None:
    body = send(client, [faces(RED), b"no picture", faces(RED)]).json()
    assert [result.get("type") for result in body["results"]] == [None, "/problems/not-an-image", None]
    assert body["results"][1] == {
        **body["results"][1],
        "status": 422,
        "field": "image",
        "instance": "/cluster",
    }
    assert "limit" not in body["results"][1]
    assert [body["results"][i]["faces"][0]["cluster"] for i in (0, 2)] == [0, 0]
    assert send(client, [b"no picture"]).json()["clusters"] == 0


def test_what_is_wrong_with_the_request_fails_as_a_whole(client: httpx.Client) -> None:
    problem(send(client, [picture()], model="nobody"), 422, "unknown-model", "model")
    problem(send(client, [picture()], max_faces=51), 422, "bad-parameter", "max_faces")
    problem(send(client, [picture()], threshold=2), 422, "bad-parameter", "threshold")
    problem(send(client, [picture()], pose=True), 422, "bad-parameter", "pose")
    problem(client.post("/cluster", content=picture()), 415, "unsupported-media-type")
    problem(client.post("/cluster", files={"picture": picture()}), 422, "bad-parameter", "picture")


def test_limits(small: httpx.Client) -> None:
    assert len(send(small, [faces(RED)] * 3, max_faces=1).json()["results"]) == 3
    assert "more than 3 parts" in problem(send(small, [faces(RED)] * 4), 422, "bad-parameter")["detail"]
    assert problem(send(small, [bytes(350_000)] * 2), 413, "too-many-bytes")["limit"] == 400_000
    assert send(small, [faces(RED, GREEN)] * 2).json()["clusters"] == 2
    detail = problem(send(small, [faces(RED, GREEN)] * 3), 422, "bad-parameter", "image")["detail"]
    assert "more than 4 faces" in detail


def test_a_thousand_parts(client: httpx.Client) -> None:
    files = [("image", data) for data in [faces(RED), *[b"no picture"] * 998, faces(RED)]]
    form = httpx.Request("POST", "http://localhost", files=files)  # sent as a whole, not part by part
    response = client.post(
        "/cluster", content=form.read(), headers={"content-type": form.headers["content-type"]}
    )
    results = response.json()["results"]
    assert [results[i]["faces"][0]["cluster"] for i in (0, 999)] == [0, 0]
    assert {result.get("status") for result in results[1:999]} == {422}
    assert "more than 1000 parts" in problem(send(client, [b"x"] * 1001), 422, "bad-parameter")["detail"]


def test_the_deadline_is_its_own() -> None:
    pause = [0.0]
    app = create_app(
        Settings(max_concurrent=1, request_timeout_s=0.2, cluster_timeout_s=1.5),
        fake_analyzer(lambda: time.sleep(pause[0])),
    )
    with serving(app) as url, client_of(url) as client:
        pause[0] = 0.3
        assert send(client, [faces(RED)] * 2).json()["clusters"] == 2
        problem(client.post("/detect", files={"image": faces(RED)}), 503, "deadline-exceeded")
        pause[0] = 0.6
        problem(send(client, [faces(RED)] * 4), 503, "deadline-exceeded")
        pause[0] = 0
        while app.state.service.admission.admitted:
            time.sleep(0.01)


def test_photographs(real: httpx.Client) -> None:
    names = ("obama.jpg", "astronaut.png", "obama2.jpg", "biden.jpg", "obama_partial_face.jpg")
    body = send(real, [photo(name) for name in names]).json()
    assert by_side(body) == [[0], [None], [0], [None], [0]]
    assert (body["model"], body["threshold"], body["far"]) == ("fused", 0.7577, 0.001)
