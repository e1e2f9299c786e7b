"""Query parameters that are refused, over HTTP, and the field each answer names."""

import httpx
import pytest

from app.service.requests import VerifyQuery
from tests.api.pictures import picture, problem


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("min_face_size=5.9", "min_face_size"),
        ("min_face_size=-20", "min_face_size"),
        ("min_face_size=nan", "min_face_size"),
        ("min_face_size=inf", "min_face_size"),
        ("min_face_size=small", "min_face_size"),
        ("threshold=1.01", "threshold"),
        ("threshold=-0.1", "threshold"),
        ("threshold=nan", "threshold"),
        ("max_faces=0", "max_faces"),
        ("max_faces=-1", "max_faces"),
        ("max_faces=1.5", "max_faces"),
        ("max_faces=51", "max_faces"),
        ("max_faces=99999999999999999999", "max_faces"),
        ("min_size=20", "min_size"),
        ("far=0.1", "far"),
    ],
)
@pytest.mark.parametrize("address", ["/detect", "/landmarks", "/embed"])
def test_detection(client: httpx.Client, address: str, query: str, field: str) -> None:
    response = client.post(f"{address}?{query}", files={"image": picture()})
    problem(response, 422, "bad-parameter", field)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("threshold=1.01", "threshold"),
        ("threshold=-1.01", "threshold"),
        ("threshold=nan", "threshold"),
        ("far=0", "far"),
        ("far=1", "far"),
        ("far=nan", "far"),
        ("far=often", "far"),
        ("far=0.5", "far"),  # outside the calibration
        ("far=0.01&threshold=0.5", "far"),
        ("max_faces=1", "max_faces"),
    ],
)
def test_verification(client: httpx.Client, query: str, field: str) -> None:
    response = client.post(f"/verify?{query}", files={"image_a": picture(), "image_b": picture()})
    problem(response, 422, "bad-parameter", field)


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ("/detect", ["detector"]),
        ("/landmarks", ["other-points", "points"]),
        ("/embed", ["other-vectors", "vectors"]),
        ("/verify", ["other-vectors", "vectors"]),
    ],
)
def test_unknown_models(client: httpx.Client, address: str, known: list[str]) -> None:
    names = ("image_a", "image_b") if address == "/verify" else ("image",)
    response = client.post(f"{address}?model=nobody", files={name: picture() for name in names})
    body = problem(response, 422, "unknown-model", "model")
    assert body["known"] == known
    assert "nobody" in body["detail"]


def test_an_unknown_parameter_is_named_with_those_that_are_known(client: httpx.Client) -> None:
    body = problem(client.post("/verify?modle=x", files={}), 422, "bad-parameter", "modle")
    assert f"Did you mean model? Known parameters: {', '.join(VerifyQuery.model_fields)}." in body["detail"]


def test_parameters_are_checked_before_the_body_is_read(client: httpx.Client) -> None:
    problem(client.post("/detect?threshold=2", content=b""), 422, "bad-parameter", "threshold")
