"""The 15-point models of this checkout, over HTTP, in the order of Kaggle's columns."""

import io
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy import ndarray
from PIL import Image as Pil

from app.runtime.manifest import read_manifest
from app.vision.points import KAGGLE15
from tests.api.pictures import photo

MODELS = [m.name for m in read_manifest(Path("models")).models if m.name.endswith("15")]
PHOTOS = ("obama2.jpg", "biden.jpg", "astronaut.png")


def answer(real: httpx.Client, model: str, name: str, accept: str = "application/json") -> httpx.Response:
    headers = {"content-type": f"image/{'png' if name.endswith('png') else 'jpeg'}", "accept": accept}
    return real.post(f"/landmarks?model={model}", content=photo(name), headers=headers)


def found(real: httpx.Client, model: str, name: str) -> tuple[dict[str, ndarray], dict[str, ndarray]]:
    """The only face's points by Kaggle's names, and its keypoints."""
    body = answer(real, model, name).json()
    assert (body["scheme"], body["model"]) == ("kaggle15", model)
    (face,) = body["faces"]
    points = dict(zip(KAGGLE15, np.array(face["landmarks"]), strict=True))
    return points, {k: np.array(v) for k, v in face["keypoints"].items()}


def test_there_are_nets_of_15_points() -> None:
    assert {"cnn15", "landmarks15", "mobilenet15"} <= set(MODELS)


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("model", MODELS)
def test_points_lie_where_their_names_say(real: httpx.Client, model: str, name: str) -> None:
    points, five = found(real, model, name)
    eyes = np.linalg.norm(five["left_eye"] - five["right_eye"])
    same = {
        "left_eye_center": "left_eye",
        "right_eye_center": "right_eye",
        "nose_tip": "nose",
        "mouth_left_corner": "mouth_left",
        "mouth_right_corner": "mouth_right",
    }
    for ours, theirs in same.items():
        assert np.linalg.norm(points[ours] - five[theirs]) < 0.25 * eyes, ours
    for side, outwards in (("left", 1), ("right", -1)):
        inner, centre, outer = (
            points[f"{side}_eye_{part}"][0] * outwards for part in ("inner_corner", "center", "outer_corner")
        )
        assert inner < centre < outer
        brow = [points[f"{side}_eyebrow_{end}_end"] for end in ("inner", "outer")]
        assert brow[0][0] * outwards < brow[1][0] * outwards
        assert max(end[1] for end in brow) < points[f"{side}_eye_center"][1]
    assert points["nose_tip"][1] < points["mouth_center_top_lip"][1] < points["mouth_center_bottom_lip"][1]


@pytest.mark.parametrize("model", MODELS)
def test_they_can_be_drawn(real: httpx.Client, model: str) -> None:
    response = answer(real, model, "obama2.jpg", "image/png")
    assert response.headers["content-type"] == "image/png"
    drawn = np.asarray(Pil.open(io.BytesIO(response.content)).convert("RGB")).astype(int)
    plain = np.asarray(Pil.open(io.BytesIO(photo("obama2.jpg"))).convert("RGB")).astype(int)
    assert drawn.shape == plain.shape
    points, _ = found(real, model, "obama2.jpg")
    changed = np.abs(drawn - plain).max(axis=2) > 60
    for x, y in points.values():
        row, column = round(y), round(x)
        assert changed[row - 3 : row + 4, column - 3 : column + 4].any()
