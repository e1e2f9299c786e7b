"""What the addresses answer, over HTTP, with fake nets."""

import base64
import io
import math
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image as Pil

from tests.api.pictures import photo, picture, problem

JPEG = {"content-type": "image/jpeg"}
LEFT, RIGHT = [10.0, 12.0, 90.0, 108.0], [120.0, 36.0, 180.0, 84.0]


def corners(face: dict[str, Any]) -> list[float]:
    return list(face["box"].values())


class TestDetect:
    def test_the_answer_s_shape(self, client: httpx.Client) -> None:
        response = client.post("/detect", content=picture(), headers=JPEG)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        body = response.json()
        assert list(body) == ["image", "faces", "model", "timing_ms"]
        assert body["image"] == {"width": 200, "height": 120}
        assert body["model"] == "detector"
        face = body["faces"][0]
        assert list(face) == ["box", "score", "keypoints", "rotation"]
        assert list(face["box"]) == ["x1", "y1", "x2", "y2"]
        assert set(face["keypoints"]) == {"left_eye", "right_eye", "nose", "mouth_left", "mouth_right"}
        assert set(body["timing_ms"]) == {"queue", "decode", "fake", "total"}
        assert body["timing_ms"]["total"] >= body["timing_ms"]["decode"] > 0

    def test_faces_come_by_falling_score(self, client: httpx.Client) -> None:
        faces = client.post("/detect", content=picture(), headers=JPEG).json()["faces"]
        assert [corners(face) for face in faces] == [LEFT, RIGHT]
        assert [face["score"] for face in faces] == pytest.approx([0.99, 0.8])

    def test_left_and_right_are_the_subject_s(self, client: httpx.Client) -> None:
        points = client.post("/detect", content=picture(), headers=JPEG).json()["faces"][0]["keypoints"]
        assert points["right_eye"] == [34, 50.4]
        assert points["left_eye"] == [66, 50.4]
        assert points["mouth_right"][0] < points["nose"][0] < points["mouth_left"][0]

    def test_no_face_is_an_answer(self, client: httpx.Client) -> None:
        body = client.post("/detect", content=picture(bright=False), headers=JPEG).json()
        assert body["faces"] == []

    def test_boxes_are_of_the_upright_picture(self, client: httpx.Client) -> None:
        exif = Pil.Exif()
        exif[0x0112] = 6
        out = io.BytesIO()
        Pil.open(io.BytesIO(picture())).save(out, "JPEG", exif=exif)
        body = client.post("/detect", content=out.getvalue(), headers=JPEG).json()
        assert body["image"] == {"width": 120, "height": 200}
        assert corners(body["faces"][0]) == [6, 20, 54, 180]

    @pytest.mark.parametrize(
        ("query", "scores"),
        [
            ("", [0.99, 0.8]),
            ("model=detector", [0.99, 0.8]),
            ("model=&min_face_size=&threshold=&max_faces=", [0.99, 0.8]),
            ("threshold=0.9", [0.99]),
            ("threshold=1", []),
            ("max_faces=1", [0.99]),
            ("min_face_size=12&max_faces=50&threshold=0", [0.99, 0.8]),
        ],
    )
    def test_parameters(self, client: httpx.Client, query: str, scores: list[float]) -> None:
        response = client.post(f"/detect?{query}", content=picture(), headers=JPEG)
        assert [face["score"] for face in response.json()["faces"]] == pytest.approx(scores)


class TestLandmarks:
    def test_the_answer_s_shape(self, client: httpx.Client) -> None:
        body = client.post("/landmarks", content=picture(), headers=JPEG).json()
        assert set(body) == {"image", "faces", "scheme", "model", "detector", "timing_ms"}
        assert (body["scheme"], body["model"], body["detector"]) == ("kaggle15", "points", "detector")
        assert [len(face["landmarks"]) for face in body["faces"]] == [15, 15]
        assert set(body["timing_ms"]) == {"queue", "decode", "fake", "align", "landmarks", "total"}
        x, y = body["faces"][0]["landmarks"][0]
        assert LEFT[0] < x < LEFT[2]
        assert LEFT[1] < y < LEFT[3]

    def test_model_is_the_landmark_model(self, client: httpx.Client) -> None:
        body = client.post("/landmarks?model=other-points", content=picture(), headers=JPEG).json()
        assert body["model"] == "other-points"

    def test_boxes_skip_detection_and_keep_their_order(self, client: httpx.Client) -> None:
        boxes = [[100, 10, 130, 50], [5.5, 5, 60, 60]]
        sent = {
            "json": {"json": {"image": base64.b64encode(picture(bright=False)).decode(), "boxes": boxes}},
            "multipart": {"files": {"image": picture(bright=False)}, "data": {"boxes": str(boxes)}},
        }
        for way, options in sent.items():
            body = client.post("/landmarks", **options).json()  # type: ignore[arg-type]
            assert [corners(face) for face in body["faces"]] == boxes, way
            assert "fake" not in body["timing_ms"]

    def test_a_file_part_may_hold_the_boxes(self, client: httpx.Client) -> None:
        files: Any = {"image": picture(), "boxes": ("b.json", b"[[1, 2, 50, 60]]", "application/json")}
        assert len(client.post("/landmarks", files=files).json()["faces"]) == 1

    def test_no_boxes_no_faces(self, client: httpx.Client) -> None:
        body = client.post("/landmarks", files={"image": picture()}, data={"boxes": "[]"}).json()
        assert body["faces"] == []

    def test_an_empty_field_of_boxes_is_none_at_all(self, client: httpx.Client) -> None:
        body = client.post("/landmarks", files={"image": picture()}, data={"boxes": ""}).json()
        assert len(body["faces"]) == 2


class TestEmbed:
    def test_the_answer_s_shape(self, client: httpx.Client) -> None:
        body = client.post("/embed", content=picture(), headers=JPEG).json()
        assert set(body) == {"image", "faces", "dimension", "model", "detector", "timing_ms"}
        assert (body["dimension"], body["model"]) == (3, "vectors")
        vectors = np.array([face["embedding"] for face in body["faces"]])
        assert vectors.shape == (2, 3)
        assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-6)
        assert vectors[0, 0] > vectors[0, 2]  # the left half is red
        assert vectors[1, 0] < vectors[1, 2]

    def test_boxes(self, client: httpx.Client) -> None:
        body = client.post(
            "/embed", files={"image": picture()}, data={"boxes": "[[110, 5, 190, 110]]"}
        ).json()
        (face,) = body["faces"]
        assert face["embedding"][2] > face["embedding"][0]


class TestVerify:
    def test_the_answer_s_shape(self, client: httpx.Client) -> None:
        files = {"image_a": picture(), "image_b": picture(format="PNG")}
        body = client.post("/verify", files=files).json()
        assert {*body} >= {"verified", "similarity", "threshold", "metric", "model", "face_a", "face_b"}
        assert body["verified"] is True
        assert body["similarity"] == pytest.approx(1, abs=1e-3)
        assert (body["threshold"], body["far"], body["metric"]) == (0.75, 0.001, "cosine")
        assert body["model"] == "vectors"
        for name in ("face_a", "face_b"):
            assert set(body[name]) == {"box", "score", "keypoints", "rotation"}
            assert corners(body[name]) == LEFT
        assert set(body["timing_ms"]) == {"queue", "decode", "fake", "align", "embed", "total"}

    def test_probability_is_that_of_the_similarity(self, client: httpx.Client) -> None:
        files = {"image_a": picture(), "image_b": picture()}
        body = client.post("/verify?threshold=1", files=files).json()
        expected = 1 / (1 + math.exp(15 - 20 * body["similarity"]))
        assert body["probability"] == pytest.approx(expected)
        assert body["probability"] > 0.99

    def test_json(self, client: httpx.Client) -> None:
        text = base64.b64encode(picture()).decode()
        assert client.post("/verify", json={"image_a": text, "image_b": text}).json()["verified"] is True

    @pytest.mark.parametrize(
        ("query", "threshold"),
        [
            ("far=0.01", 0.5),
            ("far=0.001", 0.75),
            ("threshold=-1", -1),
            ("threshold=0.25", 0.25),
            ("model=other-vectors", 0.75),
        ],
    )
    def test_thresholds(self, client: httpx.Client, query: str, threshold: float) -> None:
        files = {"image_a": picture(), "image_b": picture()}
        body = client.post(f"/verify?{query}", files=files).json()
        assert body["threshold"] == threshold
        assert body["verified"] is (body["similarity"] >= threshold)

    @pytest.mark.parametrize("model", ["sface", "dlib", "fused"])
    @pytest.mark.parametrize("threshold", [1, -1])
    def test_the_same_picture_reaches_every_threshold(
        self, real: httpx.Client, model: str, threshold: float
    ) -> None:
        files = {"image_a": photo("obama.jpg"), "image_b": photo("obama.jpg")}
        body = real.post(f"/verify?model={model}&threshold={threshold}", files=files).json()
        assert (body["similarity"], body["verified"]) == (1, True)

    def test_too_high_a_threshold_is_not_reached(self, client: httpx.Client) -> None:
        mirrored = io.BytesIO()
        Pil.open(io.BytesIO(picture())).transpose(Pil.Transpose.FLIP_LEFT_RIGHT).save(mirrored, "PNG")
        files = {"image_a": picture(), "image_b": mirrored.getvalue()}
        body = client.post("/verify", files=files).json()
        assert body["verified"] is False
        assert body["similarity"] < 0.75

    @pytest.mark.parametrize("name", ["image_a", "image_b"])
    def test_no_face_in_one_of_them(self, client: httpx.Client, name: str) -> None:
        files = {"image_a": picture(), "image_b": picture(), name: picture(bright=False)}
        problem(client.post("/verify", files=files), 422, "no-face", name)


class TestDrawn:
    @pytest.mark.parametrize("address", ["/detect", "/landmarks"])
    @pytest.mark.parametrize(("media", "format"), [("image/png", "PNG"), ("image/jpeg", "JPEG")])
    def test_the_picture_with_the_answer(
        self, client: httpx.Client, address: str, media: str, format: str
    ) -> None:
        response = client.post(address, content=picture(), headers={**JPEG, "accept": media})
        assert response.headers["content-type"] == media
        assert "Accept" in response.headers["vary"]
        drawn = Pil.open(io.BytesIO(response.content))
        assert (drawn.format, drawn.size) == (format, (200, 120))
        before = np.asarray(Pil.open(io.BytesIO(picture())).convert("RGB")).astype(int)
        moved = np.abs(np.asarray(drawn).astype(int) - before).max(axis=2) > 60
        assert moved[60, 9:12].any()  # the box's left line
        assert not moved[:, 100:115].any()  # between the faces

    def test_landmarks_change_the_drawing(self, client: httpx.Client) -> None:
        headers = {**JPEG, "accept": "image/png"}
        pictures = [
            client.post(a, content=picture(), headers=headers).content for a in ("/detect", "/landmarks")
        ]
        assert pictures[0] != pictures[1]

    def test_errors_stay_problems(self, client: httpx.Client) -> None:
        response = client.post("/detect", content=b"hello", headers={**JPEG, "accept": "image/png"})
        problem(response, 422, "not-an-image", "image")

    @pytest.mark.parametrize(
        ("address", "accept"), [("/detect", "text/csv"), ("/embed", "image/png"), ("/verify", "image/png")]
    )
    def test_not_acceptable(self, client: httpx.Client, address: str, accept: str) -> None:
        response = client.post(address, files={"image": picture()}, headers={"accept": accept})
        body = problem(response, 406, "not-acceptable")
        assert "application/json" in body["detail"]
