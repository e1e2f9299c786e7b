"""Pictures for requests, and what problems look like."""

import io
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image as Pil

PHOTOS = Path("tests/photos")


@cache
def photo(name: str) -> bytes:
    return (PHOTOS / name).read_bytes()


@cache
def opened(name: str) -> Pil.Image:
    """A photograph as RGB."""
    return Pil.open(io.BytesIO(photo(name))).convert("RGB")


def written(image: Pil.Image, format: str = "PNG", **options: Any) -> bytes:
    """An encoded image."""
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


@cache
def picture(width: int = 200, height: int = 120, bright: bool = True, format: str = "JPEG") -> bytes:
    """A picture in which the fake detector finds two faces; in a dark one it finds none."""
    left, right = ((220, 60, 60), (60, 60, 220)) if bright else ((0, 0, 0), (0, 0, 0))
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2], pixels[:, width // 2 :] = left, right
    out = io.BytesIO()
    Pil.fromarray(pixels).save(out, format)
    return out.getvalue()


def sentence(detail: str) -> None:
    """Check that a problem's detail is a full sentence."""
    assert detail[:1].isupper(), detail
    assert detail.endswith("."), detail


def problem(response: httpx.Response, status: int, kind: str, field: str | None = None) -> dict[str, Any]:
    """The response's problem, once it is seen to be one of that kind."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    body: dict[str, Any] = response.json()
    assert (body["status"], response.status_code) == (status, status), body
    assert body["type"] == f"/problems/{kind}", body
    assert body.get("field") == field, body
    assert body["title"]
    sentence(body["detail"])
    assert body["instance"] == response.request.url.path
    return body
