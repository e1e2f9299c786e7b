"""The quality of faces over HTTP."""

import httpx
import pytest
from PIL import Image, ImageFilter, ImageOps

from tests.api.pictures import opened, written


def qualities(client: httpx.Client, picture: Image.Image, path: str = "/detect?quality=true") -> list[float]:
    """The qualities of the faces of an answer."""
    answer = client.post(path, files={"image": written(picture)})
    assert answer.status_code == 200, answer.text
    return [face["quality"] for face in answer.json()["faces"]]


def portrait() -> Image.Image:
    """A sharp portrait of 600 pixels."""
    return ImageOps.contain(opened("obama2.jpg"), (600, 600))


def test_no_quality_unless_asked(real: httpx.Client) -> None:
    for path in ("/detect", "/landmarks", "/embed"):
        (face,) = real.post(path, files={"image": written(portrait())}).json()["faces"]
        assert "quality" not in face


def test_every_route_gives_the_same_quality(real: httpx.Client) -> None:
    (expected,) = qualities(real, portrait())
    assert 0.8 < expected <= 1
    paths = ["/landmarks?quality=true", "/embed?quality=true", "/embed?model=sface&quality=true"]
    for path in [*paths, "/detect?pose=true&quality=true"]:
        assert qualities(real, portrait(), path) == pytest.approx([expected], abs=0.002)


def test_the_quality_does_not_change_the_vectors(real: httpx.Client) -> None:
    picture = {"image": written(portrait())}
    for model in ("fused", "sface"):
        plain = real.post(f"/embed?model={model}", files=picture).json()["faces"][0]
        rated = real.post(f"/embed?model={model}&quality=true", files=picture).json()["faces"][0]
        assert rated.pop("quality") > 0
        assert rated == plain


def test_a_blurred_and_a_covered_face_are_worse(real: httpx.Client) -> None:
    sharp = portrait()
    (good,) = qualities(real, sharp)
    (blurred,) = qualities(real, sharp.filter(ImageFilter.GaussianBlur(9)))
    (small,) = qualities(real, ImageOps.contain(sharp, (60, 60)).resize(sharp.size))
    assert blurred < good - 0.05
    assert small < good - 0.05


def test_the_faces_of_given_boxes_have_qualities(real: httpx.Client) -> None:
    picture = portrait()
    (face,) = real.post("/detect", files={"image": written(picture)}).json()["faces"]
    box = [face["box"][key] for key in ("x1", "y1", "x2", "y2")]
    boxes = f"[{box}, [0, 0, 60, 60]]"
    answer = real.post("/embed?quality=true", files={"image": written(picture)}, data={"boxes": boxes}).json()
    on_the_face, on_the_wall = [found["quality"] for found in answer["faces"]]
    assert on_the_face > 0.8
    assert on_the_wall < 0.5


def test_quality_needs_fused(client: httpx.Client) -> None:
    bright = written(Image.new("RGB", (90, 60), "white"))
    answer = client.post("/detect?quality=true", files={"image": bright})
    assert answer.status_code == 422
    assert answer.json()["field"] == "quality"
    assert "fused" in answer.json()["detail"]
