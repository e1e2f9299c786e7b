"""Requests with common mistakes: the answer names the fault and the remedy."""

import base64
import gzip
import json
from typing import Any

import httpx
import pytest

from tests.api.pictures import picture, problem
from tests.api.test_request_body import JPEG, TEXT, multipart, part

JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=cut"}
END = b"--cut--\r\n"

PICTURE = part("image", picture())
"""A part with the picture."""


@pytest.mark.parametrize(
    ("media", "body", "words"),
    [
        ("", PICTURE + END, ("has no boundary", "Do not set this header")),
        ("; boundary=", PICTURE + END, ("has no boundary", "Do not set this header")),
        (
            "; boundary=other",
            PICTURE + END,
            ("'other'", "does not occur", "'--cut'", "Do not set this header"),
        ),
        ("; boundary=--cut", PICTURE + END, ("two hyphens", "'----cut'")),
        (f"; boundary={'x' * 300}", PICTURE + END, ("300 characters",)),
        ("; boundary=cut", b"", ("is empty",)),
        ("; boundary=cut", PICTURE, ("last line, '--cut--', is missing",)),
        ("; boundary=cut", picture(), ("an image (JPEG)", "content type image/jpeg")),
        ("", picture(), ("an image (JPEG)", "content type image/jpeg")),
        ("; boundary=cut", b'{"image": ""}', ("JSON", "content type application/json")),
        ("; boundary=cut", PICTURE.replace(b"\r\n", b"\n"), ("end with LF", "CR LF")),
        (
            "; boundary=cut",
            b"--cut\r\nA: b\r\n\r\nx\r\n" + END,
            ("no name", "Content-Disposition: form-data"),
        ),
        ("; boundary=cut", b"--cut\r\nno header\r\n\r\nx\r\n" + END, ("malformed", "HTTP library")),
        ("; boundary=cut", PICTURE * 17 + END, ("more than 16 parts",)),
    ],
)
def test_forms(client: httpx.Client, media: str, body: bytes, words: tuple[str, ...]) -> None:
    headers = {"content-type": f"multipart/form-data{media}"}
    says(client.post("/detect", content=body, headers=headers), None, *words)


@pytest.mark.parametrize(
    ("address", "names", "field", "words"),
    [
        ("/detect", ("file",), "file", ("Send the image as the field image.", "Known fields: image.")),
        ("/detect", ("Image",), "Image", ("Send the image as the field image.",)),
        ("/detect", ("image", "image"), "image", ("2 times", "/detect/batch takes several images")),
        ("/detect", ("image", "boxes"), "boxes", ("Only /landmarks and /embed take boxes.",)),
        ("/embed", ("image", "box"), "box", ("Did you mean boxes?",)),
        ("/detect", ("image", "min_face_size"), "min_face_size", ("/detect?min_face_size=VALUE",)),
        ("/detect", ("image", "minFaceSize"), "minFaceSize", ("/detect?min_face_size=VALUE",)),
        ("/embed", ("image", "model"), "model", ("query string", "/embed?model=VALUE")),
        ("/detect", ("image", "far"), "far", ("is unknown. Known fields: image.",)),
        ("/detect", ("image_a", "image_b"), "image_a", ("Send the image as the field image.",)),
        ("/verify", ("image_a", "image_b", "far"), "far", ("query string", "/verify?far=VALUE")),
        ("/verify", ("image",), "image", ("Send the two images as the fields image_a and image_b.",)),
        ("/verify", ("image1", "image2"), "image1", ("as the fields image_a and image_b.",)),
        ("/verify", ("image_b",), "image_a", ("has no field image_a",)),
        ("/verify", ("image_a", "image_b", "image_b"), "image_b", ("2 times. Send it once.",)),
        ("/detect/batch", ("images[]", "images[]"), "images[]", ("Send each image as a part named image.",)),
        ("/detect/batch", ("image", "model"), "model", ("/detect/batch?model=VALUE",)),
        ("/detect/batch", (), "image", ("Send each image as a part named image.",)),
    ],
)
def test_names_of_fields(
    client: httpx.Client, address: str, names: tuple[str, ...], field: str, words: tuple[str, ...]
) -> None:
    says(multipart(client, *(part(name, picture()) for name in names), address=address), field, *words)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (TEXT.replace("+", " "), ("blanks where + belongs", "%2B")),
        (f"data:image/jpeg;base64,{TEXT}".replace("+", " "), ("blanks where + belongs", "%2B")),
        (f"data:image/jpeg;base64{TEXT}", ("no comma",)),
        (f"b'{TEXT}'", ("Python", "decode()")),
        (f'"{TEXT}"', ("'\"' at position 0",)),
        (f"{TEXT[:30]}*{TEXT[30:]}", ("'*' at position 30",)),
        (f"{TEXT[:32]}=={TEXT[32:]}", ("before its end",)),
        (TEXT.rstrip("=")[:401], ("its end is missing",)),
        ("https://example.org/face.jpg", ("fetches no files",)),
        ("C:\\photos\\face.JPG", ("the name of a file",)),
        ("face.jpg", ("the name of a file",)),
        (None, ("it is null",)),
        (5, ("it is a number",)),
        (True, ("it is a boolean",)),
        ([1, 2], ("it is a list",)),
        ({"data": TEXT}, ("it is an object",)),
    ],
)
def test_base64(client: httpx.Client, value: Any, words: tuple[str, ...]) -> None:
    assert "+" in TEXT
    says(client.post("/detect", json={"image": value}), "image", *words)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", ("it is empty",)),
        (b" \n", ("it is empty",)),
        (json.dumps({"image": TEXT}).encode("utf-16"), ("UTF-8",)),
        (json.dumps({"image": TEXT}).encode("utf-32-be"), ("UTF-8",)),
        (f"{{'image': '{TEXT}'}}".encode(), ("double quotation marks",)),
        (f'{{"image": "{TEXT}",}}'.encode(), ("trailing comma",)),
        (b"image=" + TEXT.encode(), ("a URL-encoded form",)),
        (picture(), ("an image (JPEG)", "content type image/jpeg")),
        (PICTURE + END, ("a multipart form", "multipart/form-data")),
        (f'["{TEXT}"]'.encode(), ('{"image": "BASE64"}', "it is a list")),
        (b'"text"', ("it is a string",)),
        (b"null", ("it is null",)),
    ],
)
def test_json(client: httpx.Client, body: bytes, words: tuple[str, ...]) -> None:
    says(client.post("/detect", content=body, headers=JSON), None, *words, "JSON")


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ("[[1, 2, 30, 40]]", ("it is a string",)),
        ({"x1": 1}, ("it is an object",)),
        ([1, 2, 30, 40], ("boxes[0] is not four numbers but a number",)),
        ([[1, 2, 3]], ("boxes[0] is not four numbers but a list of 3 values",)),
        ([{"x1": 1, "y1": 2, "x2": 30, "y2": 40}], ("boxes[0] is not four numbers but an object",)),
        ([["1", "2", "30", "40"]], ("boxes[0] is not four numbers but a list with a string",)),
        ([[1, 2, True, 4]], ("boxes[0] is not four numbers but a list with a boolean",)),
        ([[float("nan"), 2, 30, 40]], ("must be finite",)),
        ([[1, 2, float("inf"), 40]], ("must be finite",)),
    ],
)
def test_boxes(client: httpx.Client, boxes: Any, words: tuple[str, ...]) -> None:
    body = json.dumps({"image": TEXT, "boxes": boxes})
    says(client.post("/landmarks", content=body, headers=JSON), "boxes", *words)


def test_boxes_in_a_form(client: httpx.Client) -> None:
    parts = [PICTURE, part("boxes", b"1,2,30,40", filename=None)]
    says(multipart(client, *parts, address="/landmarks"), "boxes", "not valid JSON", "[[10, 20, 110, 140]]")


PNG = picture(format="PNG")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"face.jpg", ("the text 'face.jpg'", "@ precedes")),
        (TEXT.encode(), ("base64 text", '{"image": "..."}')),
        (f"data:image/jpeg;base64,{TEXT}".encode(), ("a data URL",)),
        (b"https://example.org/face.jpg", ("an address", "fetches no files")),
        (b"<!DOCTYPE html><html><body>Not found</body></html>", ("an HTML page",)),
        (gzip.compress(picture()), ("compressed with gzip",)),
        (b"PK\x03\x04" + bytes(100), ("a ZIP archive",)),
        (json.dumps({"image": TEXT}).encode(), ("JSON", "application/json")),
        (PNG.replace(b"\r\n", b"\n"), ("conversion to text", "as bytes")),
        (picture().decode("latin-1").encode(), ("conversion to text", "as bytes")),
        (picture().decode(errors="replace").encode(), ("conversion to text", "as bytes")),
        (PNG.decode(errors="replace").encode(), ("conversion to text", "as bytes")),
        (b"", ("is empty",)),
    ],
)
def test_what_is_no_picture(client: httpx.Client, data: bytes, words: tuple[str, ...]) -> None:
    for response in (
        client.post("/detect", content=data, headers=JPEG),
        client.post("/detect", files={"image": data}),
    ):
        body = problem(response, 422, "not-an-image", "image")
        assert all(word in body["detail"] for word in words), body["detail"]
    (result,) = client.post("/detect/batch", files={"image": data}).json()["results"]
    assert result == {**body, "instance": "/detect/batch"}


def test_a_form_as_a_raw_picture(client: httpx.Client) -> None:
    response = client.post("/detect", content=PICTURE + END, headers=JPEG)
    assert "is a multipart form" in problem(response, 422, "not-an-image", "image")["detail"]


def test_base64_of_base64(client: httpx.Client) -> None:
    response = client.post("/detect", json={"image": base64.b64encode(TEXT.encode()).decode()})
    assert "encoded twice" in problem(response, 422, "not-an-image", "image")["detail"]


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ("min_face_size=20&min_face_size=200", "min_face_size", ("2 times. Send it once.",)),
        ("model=detector&model=detector", "model", ("2 times",)),
        ("model=&model=detector", "model", ("2 times",)),
        ("min_facesize=40", "min_facesize", ("Did you mean min_face_size?",)),
        ("minFaceSize=40", "minFaceSize", ("Did you mean min_face_size?",)),
        ("min-face-size=40", "min-face-size", ("Did you mean min_face_size?",)),
        ("THRESHOLD=1", "THRESHOLD", ("Did you mean threshold?",)),
        ("colour=red", "colour", ("is unknown. Known parameters: model, ",)),
        ("image=abc", "image", ("a field of the body",)),
        ("boxes=[[1,2,3,4]]", "boxes", ("a field of the body",)),
        ("min_face_size=40&amp;threshold=0.5", "amp;threshold", ("&, not by &amp;",)),
        ("min_face_size=40px", "min_face_size", ("'40px'", "a number, such as 0.5")),
        ("threshold=0,5", "threshold", ("a number, such as 0.5",)),
        ("min_face_size=40?threshold=0.5", "min_face_size", ("separated by &",)),
        ("max_faces=1.5", "max_faces", ("a whole number",)),
        ("threshold=NaN", "threshold", ("a finite number",)),
        ("min_face_size=Infinity", "min_face_size", ("a finite number",)),
    ],
)
@pytest.mark.parametrize("address", ["/detect", "/embed/batch"])
def test_queries(client: httpx.Client, address: str, query: str, field: str, words: tuple[str, ...]) -> None:
    says(client.post(f"{address}?{query}", files={"image": picture()}), field, *words)


def test_a_doubled_parameter_of_verify(client: httpx.Client) -> None:
    files = {"image_a": picture(), "image_b": picture()}
    says(client.post("/verify?far=0.01&far=0.001", files=files), "far", "2 times")


@pytest.mark.parametrize("encoding", ["gzip", "base64", "utf-8", "identity, gzip"])
def test_content_encodings(client: httpx.Client, encoding: str) -> None:
    response = client.post("/detect", content=picture(), headers={**JPEG, "content-encoding": encoding})
    detail = problem(response, 415, "unsupported-media-type")["detail"]
    assert encoding in detail
    assert "without the header Content-Encoding" in detail


def says(response: httpx.Response, field: str | None, *words: str) -> None:
    """Check that the answer is a bad parameter whose detail has the words."""
    detail = problem(response, 422, "bad-parameter", field)["detail"]
    assert all(word in detail for word in words), detail
