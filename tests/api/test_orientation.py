"""The parameter `orientation` over HTTP, with the real models, on a photo that is sent turned."""

import io
from functools import cache
from typing import Any

import httpx
import numpy as np
import pytest
from numpy import ndarray
from PIL import Image as Pil
from PIL import ImageOps

from tests.api.pictures import photo, problem

PNG = {"content-type": "image/png"}
TURNS = (90, 180, 270)


@cache
def sent(name: str, rotation: int) -> bytes:
    """Return a photo that is upright after it is turned clockwise by `rotation`."""
    upright = ImageOps.contain(Pil.open(io.BytesIO(photo(name))).convert("RGB"), (480, 480))
    out = io.BytesIO()
    upright.rotate(rotation, expand=True).save(out, "PNG")  # Pillow turns counterclockwise
    return out.getvalue()


def answer(real: httpx.Client, address: str, name: str, rotation: int) -> dict[str, Any]:
    response = real.post(address, content=sent(name, rotation), headers=PNG)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def turned_back(points: Any, rotation: int, image: dict[str, int]) -> ndarray:
    """Return points of a sent image in the pixels of the upright image."""
    out = np.array(points, np.float64)
    width, height = image["width"], image["height"]
    for _ in range(rotation // 90):
        out = np.stack([height - 1 - out[..., 1], out[..., 0]], axis=-1)
        width, height = height, width
    return out


@pytest.mark.parametrize("rotation", TURNS)
def test_detect_answers_the_turned_face_in_the_pixels_of_the_sent_image(
    real: httpx.Client, rotation: int
) -> None:
    (expected,) = answer(real, "/detect", "obama.jpg", 0)["faces"]
    assert expected["rotation"] == 0
    assert answer(real, "/detect", "obama.jpg", rotation)["faces"] == []
    body = answer(real, "/detect?orientation=auto", "obama.jpg", rotation)
    (face,) = body["faces"]
    assert face["rotation"] == rotation
    assert face["score"] == pytest.approx(expected["score"], abs=1e-4)
    points = turned_back(list(face["keypoints"].values()), rotation, body["image"])
    np.testing.assert_allclose(points, list(expected["keypoints"].values()), atol=0.01)
    x1, y1, x2, y2 = face["box"].values()
    inside = np.array(list(face["keypoints"].values()))
    assert np.all((inside > [x1, y1]) & (inside < [x2, y2]))
    assert list(body["timing_ms"]) == ["queue", "decode", "pnet", "rnet", "onet", "orientation", "total"]


def test_an_upright_photo_is_answered_alike(real: httpx.Client) -> None:
    upright = answer(real, "/detect?orientation=upright", "biden.jpg", 0)["faces"]
    assert answer(real, "/detect?orientation=auto", "biden.jpg", 0)["faces"] == upright
    assert [face["rotation"] for face in upright] == [0]


def test_landmarks_lie_on_the_turned_face(real: httpx.Client) -> None:
    (expected,) = answer(real, "/landmarks", "obama.jpg", 0)["faces"]
    body = answer(real, "/landmarks?orientation=auto", "obama.jpg", 180)
    (face,) = body["faces"]
    assert face["rotation"] == 180
    points = turned_back(face["landmarks"], 180, body["image"])
    eyes = np.linalg.norm(np.subtract(expected["keypoints"]["left_eye"], expected["keypoints"]["right_eye"]))
    off = np.linalg.norm(points - expected["landmarks"], axis=1)
    assert off.mean() < 0.02 * eyes


def test_landmarks_in_the_box_of_an_answer(real: httpx.Client) -> None:
    detected = answer(real, "/detect?orientation=auto", "obama.jpg", 180)
    box = list(detected["faces"][0]["box"].values())
    files, data = {"image": sent("obama.jpg", 180)}, {"boxes": str([box])}
    body = real.post("/landmarks?orientation=auto", files=files, data=data).json()
    (face,) = body["faces"]
    assert face["rotation"] == 180
    points = turned_back(face["landmarks"], 180, body["image"])
    (expected,) = answer(real, "/landmarks", "obama.jpg", 0)["faces"]
    eyes = np.linalg.norm(np.subtract(expected["keypoints"]["left_eye"], expected["keypoints"]["right_eye"]))
    assert np.linalg.norm(points - expected["landmarks"], axis=1).mean() < 0.05 * eyes


def test_embeddings_of_a_turned_photo_are_those_of_the_photo(real: httpx.Client) -> None:
    (expected,) = answer(real, "/embed", "obama.jpg", 0)["faces"]
    (face,) = answer(real, "/embed?orientation=auto", "obama.jpg", 90)["faces"]
    assert np.dot(expected["embedding"], face["embedding"]) > 0.95
    assert face["rotation"] == 90


def test_a_photo_and_its_turned_self_are_one_person(real: httpx.Client) -> None:
    files = {"image_a": sent("obama.jpg", 0), "image_b": sent("obama.jpg", 180)}
    refused = problem(real.post("/verify", files=files), 422, "no-face", "image_b")
    assert "orientation" in refused["detail"]
    body = real.post("/verify?orientation=auto", files=files).json()
    assert body["verified"] is True
    assert body["similarity"] > 0.95
    assert (body["face_a"]["rotation"], body["face_b"]["rotation"]) == (0, 180)
    none = {"image_a": sent("obama.jpg", 0), "image_b": grey()}
    detail = problem(real.post("/verify?orientation=auto", files=none), 422, "no-face", "image_b")["detail"]
    assert "orientation" not in detail


def grey() -> bytes:
    out = io.BytesIO()
    Pil.new("RGB", (200, 200), "grey").save(out, "PNG")
    return out.getvalue()


def test_each_image_of_a_batch_is_turned_on_its_own(real: httpx.Client) -> None:
    files = [("image", sent("obama.jpg", rotation)) for rotation in (0, 270)]
    results = real.post("/detect/batch?orientation=auto", files=files).json()["results"]
    assert [[face["rotation"] for face in result["faces"]] for result in results] == [[0], [270]]


def test_the_drawn_image_is_the_sent_one(real: httpx.Client) -> None:
    data = sent("obama.jpg", 180)
    (face,) = answer(real, "/detect?orientation=auto", "obama.jpg", 180)["faces"]
    x1, y1, x2, y2 = (round(value) for value in face["box"].values())
    response = real.post("/detect?orientation=auto", content=data, headers={**PNG, "accept": "image/png"})
    drawn = np.asarray(Pil.open(io.BytesIO(response.content)).convert("RGB")).astype(int)
    changed = np.abs(drawn - np.asarray(Pil.open(io.BytesIO(data)).convert("RGB"))).max(axis=2) > 40
    middle = (y1 + y2) // 2
    assert changed[middle - 5 : middle + 5, x1 - 1 : x1 + 2].mean() > 0.9
    assert changed[middle - 5 : middle + 5, x2 - 2 : x2 + 1].mean() > 0.9


@pytest.mark.parametrize("address", ["/detect", "/landmarks", "/embed", "/verify"])
def test_an_unknown_orientation_is_refused(client: httpx.Client, address: str) -> None:
    response = client.post(f"{address}?orientation=sideways", content=sent("obama.jpg", 0), headers=PNG)
    body = problem(response, 422, "bad-parameter", "orientation")
    assert "upright" in body["detail"]
    assert "auto" in body["detail"]
