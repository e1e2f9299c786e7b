"""The face mesh over HTTP: 468 points with depth, the 68 points made of it, and the pose of heads."""

import io

import httpx
import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.api.pictures import opened, written


def faces(client: httpx.Client, path: str, picture: Image.Image) -> list[dict[str, object]]:
    """The faces of an answer to a picture."""
    answer = client.post(path, files={"image": written(picture)})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, object]] = answer.json()["faces"]
    return found


def pose(client: httpx.Client, picture: Image.Image, path: str = "/detect?pose=true") -> np.ndarray:
    """Yaw, pitch and roll of the only face of a picture."""
    (face,) = faces(client, path, picture)
    values = face["pose"]
    assert isinstance(values, dict)
    return np.array([values[name] for name in ("yaw", "pitch", "roll")])


def test_the_mesh_has_468_points_with_depth(real: httpx.Client) -> None:
    picture = ImageOps.contain(opened("obama2.jpg"), (600, 600))
    answer = real.post("/landmarks?model=mesh", files={"image": written(picture)}).json()
    assert (answer["scheme"], answer["model"]) == ("mesh468", "mesh")
    (face,) = answer["faces"]
    points = np.array(face["landmarks"])
    assert points.shape == (468, 3)
    eyes = np.array([face["keypoints"]["right_eye"], face["keypoints"]["left_eye"]])
    assert np.linalg.norm(points[[33, 133], :2].mean(axis=0) - eyes[0]) < 0.15 * np.ptp(eyes[:, 0])
    assert np.linalg.norm(points[[263, 362], :2].mean(axis=0) - eyes[1]) < 0.15 * np.ptp(eyes[:, 0])
    assert points[4, 2] < points[[127, 356], 2].min() - 0.3 * np.ptp(eyes[:, 0])


def test_the_default_landmarks_are_free(real: httpx.Client) -> None:
    answer = real.post("/landmarks", files={"image": written(opened("obama2.jpg"))}).json()
    assert (answer["model"], answer["scheme"]) == ("mesh68", "ibug68")
    models = {model["name"]: model for model in real.get("/models").json()["models"]}
    assert models["mesh68"]["licence"] == "Apache-2.0"
    assert models["mesh68"]["default"]
    assert not models["mesh68"]["research_only"]


def test_the_drawn_mesh_covers_the_face(real: httpx.Client) -> None:
    picture = ImageOps.contain(opened("obama2.jpg"), (600, 600)).convert("RGB")
    answer = real.post(
        "/landmarks?model=mesh", files={"image": written(picture)}, headers={"accept": "image/png"}
    )
    drawn = np.asarray(Image.open(io.BytesIO(answer.content))).astype(int)
    changed = np.abs(drawn - np.asarray(picture).astype(int)).max(axis=2) > 12
    (face,) = faces(real, "/detect", picture)
    box = face["box"]
    assert isinstance(box, dict)
    x1, y1, x2, y2 = (round(box[side]) for side in ("x1", "y1", "x2", "y2"))
    width, height = x2 - x1, y2 - y1
    inside = changed[y1 + height // 4 : y2 - height // 4, x1 + width // 4 : x2 - width // 4]
    assert 0.15 < inside.mean() < 0.9


def test_no_pose_unless_asked(real: httpx.Client) -> None:
    (face,) = faces(real, "/detect", opened("obama2.jpg"))
    assert "pose" not in face


@pytest.mark.parametrize("path", ["/detect", "/landmarks", "/landmarks?model=landmarks15", "/embed"])
def test_pose_on_every_route(real: httpx.Client, path: str) -> None:
    join = "&" if "?" in path else "?"
    found = pose(real, ImageOps.contain(opened("obama2.jpg"), (600, 600)), f"{path}{join}pose=true")
    assert np.abs(found).max() < 25


def test_a_mirrored_picture_has_the_opposite_yaw_and_roll(real: httpx.Client) -> None:
    picture = ImageOps.contain(opened("biden.jpg"), (600, 600))
    straight, mirrored = pose(real, picture), pose(real, ImageOps.mirror(picture))
    assert np.abs(straight).max() > 8
    assert mirrored == pytest.approx(straight * [-1, 1, -1], abs=3)


@pytest.mark.parametrize("degrees", [-25, 20])
def test_a_turned_picture_has_another_roll(real: httpx.Client, degrees: int) -> None:
    """PIL turns counter-clockwise; roll is positive clockwise."""
    picture = ImageOps.contain(opened("obama.jpg"), (900, 900)).convert("RGB")
    straight, turned = pose(real, picture), pose(real, picture.rotate(-degrees, Image.Resampling.BICUBIC))
    assert turned - straight == pytest.approx([0, 0, degrees], abs=4)


def test_upside_down(real: httpx.Client) -> None:
    picture = ImageOps.contain(opened("obama2.jpg"), (600, 600))
    (_, _, roll) = pose(real, picture.rotate(180), "/detect?pose=true&orientation=auto")
    assert abs(roll) > 165


def test_pose_needs_a_mesh(client: httpx.Client) -> None:
    answer = client.post("/detect?pose=true", files={"image": written(Image.new("RGB", (90, 60), "grey"))})
    assert answer.status_code == 422
    assert answer.json()["field"] == "pose"
    assert "mesh68" in answer.json()["detail"]
