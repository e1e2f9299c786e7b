"""Request bodies over HTTP: every way a picture may come, and every way it may not."""

import base64
import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.pictures import picture, problem
from tests.servers import http

JPEG = {"content-type": "image/jpeg"}
TEXT = base64.b64encode(picture()).decode()
LIMIT = 200_000  # of the fake server


def part(name: str, data: bytes, *, filename: str | None = "a.jpg", media: str | None = None) -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"'
    head += "" if filename is None else f'; filename="{filename}"'
    head += "" if media is None else f"\r\nContent-Type: {media}"
    return b"--cut\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n"


def multipart(client: httpx.Client, *parts: bytes, address: str = "/detect") -> httpx.Response:
    headers = {"content-type": "multipart/form-data; boundary=cut"}
    return client.post(address, content=b"".join(parts) + b"--cut--\r\n", headers=headers)


class TestRaw:
    @pytest.mark.parametrize("media", ["image/jpeg", "image/png", "image/x-anything", "IMAGE/JPEG; a=b"])
    def test_any_image_type_will_do(self, client: httpx.Client, media: str) -> None:
        response = client.post("/detect", content=picture(), headers={"content-type": media})
        assert len(response.json()["faces"]) == 2

    def test_a_body_in_chunks(self, client: httpx.Client) -> None:
        def chunks() -> Iterator[bytes]:
            data = picture()
            yield from (data[i : i + 100] for i in range(0, len(data), 100))

        assert client.post("/detect", content=chunks(), headers=JPEG).status_code == 200

    def test_an_empty_body(self, client: httpx.Client) -> None:
        body = problem(client.post("/detect", content=b"", headers=JPEG), 422, "not-an-image", "image")
        assert "empty" in body["detail"]

    @pytest.mark.parametrize(
        ("data", "status", "kind"),
        [
            (b"hello", 422, "not-an-image"),
            (picture()[:-400], 422, "truncated-image"),
            (b"II*\0" + bytes(100), 415, "unsupported-format"),
            (b"<svg></svg>", 415, "unsupported-format"),
        ],
    )
    def test_what_is_no_picture(self, client: httpx.Client, data: bytes, status: int, kind: str) -> None:
        problem(client.post("/detect", content=data, headers=JPEG), status, kind, "image")

    def test_too_many_pixels(self, client: httpx.Client) -> None:
        response = client.post("/detect", content=picture(1000, 700), headers=JPEG)
        assert problem(response, 413, "too-many-pixels", "image")["limit"] == 600_000

    @pytest.mark.parametrize(
        "media", ["text/plain", "application/pdf", "application/x-www-form-urlencoded", "jpeg"]
    )
    def test_other_types(self, client: httpx.Client, media: str) -> None:
        response = client.post("/detect", content=picture(), headers={"content-type": media})
        detail = problem(response, 415, "unsupported-media-type")["detail"]
        assert media in detail
        assert detail.endswith("The body is an image (JPEG). Send it with the content type image/jpeg.")

    @pytest.mark.parametrize("media", [None, "application/octet-stream", "Binary/Octet-Stream; a=b"])
    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
    @pytest.mark.parametrize("pieces", [1, 100])
    def test_a_type_that_says_nothing(
        self, client: httpx.Client, media: str | None, format: str, pieces: int
    ) -> None:
        data = picture(format=format)
        step = len(data) // pieces
        body = data if pieces == 1 else iter([data[i : i + step] for i in range(0, len(data), step)])
        headers = {} if media is None else {"content-type": media}
        response = client.post("/detect", content=body, headers=headers)
        assert len(response.json()["faces"]) == 2

    @pytest.mark.parametrize(
        ("data", "status", "kind"),
        [
            (picture()[:-400], 422, "truncated-image"),
            (b"II*\0" + bytes(100), 415, "unsupported-format"),
            (picture() + bytes(LIMIT), 413, "too-many-bytes"),
        ],
    )
    def test_a_type_that_says_nothing_and_a_bad_picture(
        self, client: httpx.Client, data: bytes, status: int, kind: str
    ) -> None:
        problem(client.post("/detect", content=data), status, kind, "image")

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "no content type and no body"),
            (b"hello", "has no content type"),
            (b'{"image": "x"}', "content type application/json"),
            (part("image", b"x"), "content type multipart/form-data"),
        ],
    )
    def test_no_type_and_no_picture(self, client: httpx.Client, data: bytes, words: str) -> None:
        body = problem(client.post("/detect", content=data), 415, "unsupported-media-type")
        assert words in body["detail"]

    def test_a_compressed_body(self, client: httpx.Client) -> None:
        headers = {**JPEG, "content-encoding": "gzip"}
        response = client.post("/detect", content=picture(), headers=headers)
        assert "gzip" in problem(response, 415, "unsupported-media-type")["detail"]

    def test_two_pictures_cannot_be_one_raw_body(self, client: httpx.Client) -> None:
        response = client.post("/verify", content=picture(), headers=JPEG)
        assert "image_a and image_b" in problem(response, 415, "unsupported-media-type")["detail"]


class TestByteLimit:
    def test_at_the_limit_and_over_it(self, client: httpx.Client) -> None:
        padded = picture() + bytes(LIMIT - len(picture()))
        assert client.post("/detect", content=padded, headers=JPEG).status_code == 200
        response = client.post("/detect", content=padded + b"\0", headers=JPEG)
        assert problem(response, 413, "too-many-bytes", "image")["limit"] == LIMIT

    @pytest.mark.parametrize("way", ["multipart", "json"])
    def test_one_picture_of_a_body_is_over_it(self, client: httpx.Client, way: str) -> None:
        large = picture() + bytes(LIMIT)
        if way == "json":
            response = client.post(
                "/verify", json={"image_a": TEXT, "image_b": base64.b64encode(large).decode()}
            )
        else:
            response = client.post("/verify", files={"image_a": picture(), "image_b": large})
        assert problem(response, 413, "too-many-bytes", "image_b")["limit"] == LIMIT

    @pytest.mark.parametrize("way", ["multipart", "json"])
    def test_the_whole_body_is_over_it(self, client: httpx.Client, way: str) -> None:
        large = bytes(8 * LIMIT)
        if way == "json":
            response = client.post("/detect", json={"image": base64.b64encode(large).decode()})
        else:
            response = client.post("/detect", files={"image": large})
        told(response, "image", LIMIT)

    @pytest.mark.parametrize("way", ["multipart", "json"])
    @pytest.mark.parametrize("name", ["image_a", "image_b"])
    @pytest.mark.parametrize("chunked", [False, True])
    def test_the_one_of_two_that_is_far_over_it_is_named(
        self, client: httpx.Client, way: str, name: str, chunked: bool
    ) -> None:
        pictures = {"image_a": picture(), "image_b": picture(), name: bytes(8 * LIMIT)}
        if way == "json":
            content = json.dumps({key: base64.b64encode(data).decode() for key, data in pictures.items()})
            body, media = content.encode(), "application/json"
        else:
            body = b"".join(part(key, data) for key, data in pictures.items()) + b"--cut--\r\n"
            media = "multipart/form-data; boundary=cut"
        sent = iter([body[i : i + 50_000] for i in range(0, len(body), 50_000)]) if chunked else body
        told(client.post("/verify", content=sent, headers={"content-type": media}), name, LIMIT)

    def test_none_of_two_can_be_named(self, client: httpx.Client) -> None:
        parts = [part(f"other{i}", bytes(LIMIT)) for i in range(6)]
        told(multipart(client, *parts, address="/verify"), None, 2 * LIMIT)
        for content in (b" " * 8 * LIMIT, b"[" * 8 * LIMIT, b'{"other": "' + b"x" * 8 * LIMIT):
            headers = {"content-type": "application/json"}
            told(client.post("/verify", content=content, headers=headers), None, 2 * LIMIT)

    @pytest.mark.parametrize("media", ["multipart/form-data; boundary=cut", "application/json"])
    def test_reading_two_stops_at_the_limit(self, fake_server: str, media: str) -> None:
        with connect(fake_server) as wire:
            wire.sendall(
                head(f"Content-Type: {media}", "Content-Length: 99999999999").replace(b"/detect", b"/verify")
            )
            wire.sendall(part("image_a", b"")[:-2] if media.startswith("multipart") else b'{"image_a": "')
            sent, answer = 0, b""
            while not answer and sent < 50 * LIMIT:
                wire.sendall(b"x" * 10_000)
                sent += 10_000
                answer = poll(wire)
            assert b" 413 " in answer.split(b"\r\n")[0]
            while b'"field":"image_a"' not in answer and (more := wire.recv(65536)):
                answer += more
            assert b'"field":"image_a"' in answer
            assert sent < 30 * LIMIT

    @pytest.mark.parametrize("media", ["image/jpeg", "multipart/form-data; boundary=cut", "application/json"])
    def test_reading_stops_at_the_limit(self, fake_server: str, media: str) -> None:
        """A body without end is answered while it is still being sent."""
        with connect(fake_server) as wire:
            wire.sendall(head(f"Content-Type: {media}", "Transfer-Encoding: chunked"))
            sent, answer = 0, b""
            first = part("image", b"")[:-2] if media.startswith("multipart") else b""
            chunk = b"\xff" * 10_000
            wire.sendall(b"%x\r\n%s\r\n" % (len(first), first) if first else b"")
            while not answer and sent < 50 * LIMIT:
                wire.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                sent += len(chunk)
                answer = poll(wire)
            assert b" 413 " in answer.split(b"\r\n")[0]
            assert sent < 30 * LIMIT

    def test_a_length_over_the_limit_is_refused_before_the_body_comes(self, fake_server: str) -> None:
        with connect(fake_server) as wire:
            wire.sendall(head("Content-Type: image/png", "Content-Length: 99999999999"))
            wire.settimeout(10)
            assert b" 413 " in wire.recv(65536).split(b"\r\n")[0]


def told(response: httpx.Response, field: str | None, limit: int) -> None:
    """The answer is that of a picture over the limit, and its words and its fields agree."""
    body = problem(response, 413, "too-many-bytes", field)
    assert body["limit"] == limit
    assert f"limit of {limit} bytes" in body["detail"]
    assert (field or "image_a and image_b") in body["detail"]


def connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return socket.create_connection((parts.hostname, parts.port), timeout=10)


def head(*headers: str) -> bytes:
    return "\r\n".join(["POST /detect HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def poll(wire: socket.socket) -> bytes:
    """What has come, without waiting long for it."""
    wire.settimeout(0.002)
    try:
        return wire.recv(65536)
    except TimeoutError:
        return b""
    finally:
        wire.settimeout(10)


class TestMultipart:
    @pytest.mark.parametrize("filename", [None, "", "a.jpg"])
    @pytest.mark.parametrize("media", [None, "image/jpeg", "application/octet-stream", "text/plain"])
    def test_the_part_s_name_and_type_do_not_matter(
        self, client: httpx.Client, media: str | None, filename: str | None
    ) -> None:
        sent = part("image", picture(), media=media, filename=filename)
        assert multipart(client, sent).status_code == 200

    @pytest.mark.parametrize(
        "before", [b"\r\n", b"A message in MIME format.\r\n", b"--cutter\r\n--c\r\n" * 999]
    )
    @pytest.mark.parametrize("after", [b"", b"epilogue", b"--cut\r\nmore\r\n--cut--\r\n"])
    def test_a_preamble_and_an_epilogue(self, client: httpx.Client, before: bytes, after: bytes) -> None:
        body = before + part("image", picture()) + b"--cut--\r\n" + after
        headers = {"content-type": "multipart/form-data; boundary=cut"}
        assert len(client.post("/detect", content=body, headers=headers).json()["faces"]) == 2

    def test_two_parts_without_filenames(self, client: httpx.Client) -> None:
        parts = [part(name, picture(), filename=None) for name in ("image_a", "image_b")]
        assert multipart(client, *parts, address="/verify").json()["verified"] is True

    def test_no_picture(self, client: httpx.Client) -> None:
        body = problem(multipart(client), 422, "bad-parameter", "image")
        assert "has no field image" in body["detail"]

    def test_no_second_picture(self, client: httpx.Client) -> None:
        response = multipart(client, part("image_a", picture()), address="/verify")
        problem(response, 422, "bad-parameter", "image_b")

    def test_a_picture_as_text(self, client: httpx.Client) -> None:
        response = multipart(client, part("image", TEXT.encode(), filename=None))
        problem(response, 422, "not-an-image", "image")

    def test_an_empty_file(self, client: httpx.Client) -> None:
        problem(multipart(client, part("image", b"", filename="")), 422, "not-an-image", "image")

    def test_the_same_field_twice(self, client: httpx.Client) -> None:
        response = multipart(client, part("image", picture()), part("image", picture()))
        assert "2 times" in problem(response, 422, "bad-parameter", "image")["detail"]

    @pytest.mark.parametrize("name", ["picture", "boxes", "model"])
    def test_a_field_that_is_not_known_here(self, client: httpx.Client, name: str) -> None:
        response = multipart(client, part("image", picture()), part(name, b"x", filename=None))
        assert problem(response, 422, "bad-parameter", name)["detail"].endswith("Known fields: image.")

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"nonsense",
            b"--cut\r\n",
            b"--cut\r\nno header\r\n\r\nx\r\n--cut--\r\n",
            b"--cut\r\nContent-Disposition: form-data\r\n\r\nx\r\n--cut--\r\n",
            part("image", picture()),  # no end
            b"--other\r\n\r\n--other--\r\n",
        ],
    )
    def test_malformed(self, client: httpx.Client, content: bytes) -> None:
        headers = {"content-type": "multipart/form-data; boundary=cut"}
        response = client.post("/detect", content=content, headers=headers)
        field = response.json().get("field")
        problem(response, 422, "bad-parameter", field)
        assert field in (None, "image")

    @pytest.mark.parametrize(
        "media", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed"]
    )
    def test_no_boundary(self, client: httpx.Client, media: str) -> None:
        response = client.post("/detect", content=part("image", b""), headers={"content-type": media})
        assert response.status_code in (415, 422)
        assert response.headers["content-type"] == "application/problem+json"

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.binary(max_size=200), st.integers(0, 100))
    def test_damage_never_surprises(self, client: httpx.Client, noise: bytes, place: int) -> None:
        whole = part("image", picture()) + b"--cut--\r\n"
        content = whole[:place] + noise + whole[place + len(noise) :]
        headers = {"content-type": "multipart/form-data; boundary=cut"}
        assert client.post("/detect", content=content, headers=headers).status_code in (200, 413, 415, 422)

    def test_nothing_is_written_to_disk(self, client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tempfile.tempdir", "/nowhere/at/all")
        padded = picture() + bytes(LIMIT - len(picture()))
        assert multipart(client, part("image", padded)).status_code == 200


class TestJson:
    def test_it_is_read(self, client: httpx.Client) -> None:
        assert len(client.post("/detect", json={"image": TEXT}).json()["faces"]) == 2

    @pytest.mark.parametrize("media", ["application/json; charset=utf-8", "application/vnd.api+json"])
    def test_kinds_of_json(self, client: httpx.Client, media: str) -> None:
        content = json.dumps({"image": TEXT}).encode()
        assert client.post("/detect", content=content, headers={"content-type": media}).status_code == 200

    @pytest.mark.parametrize(
        "text",
        [
            f"data:image/jpeg;base64,{TEXT}",
            f"DATA:image/jpeg;base64,{TEXT}",
            "\n".join(TEXT[i : i + 76] for i in range(0, len(TEXT), 76)),
            TEXT.rstrip("="),
            TEXT.replace("+", "-").replace("/", "_"),
        ],
        ids=["data-url", "capitals", "lines", "no-padding", "url-safe"],
    )
    def test_forms_of_base64(self, client: httpx.Client, text: str) -> None:
        assert client.post("/detect", json={"image": text}).status_code == 200

    def test_a_byte_order_mark(self, client: httpx.Client) -> None:
        content = b"\xef\xbb\xbf" + json.dumps({"image": TEXT, "boxes": []}).encode()
        response = client.post("/landmarks", content=content, headers={"content-type": "application/json"})
        assert response.json()["faces"] == []
        parts = [part("image", picture()), part("boxes", b"\xef\xbb\xbf[]")]
        assert multipart(client, *parts, address="/landmarks").json()["faces"] == []

    def test_the_same_field_twice(self, client: httpx.Client) -> None:
        content = f'{{"image": "{TEXT}", "image" : "{TEXT}"}}'
        response = client.post("/detect", content=content, headers={"content-type": "application/json"})
        assert "2 times" in problem(response, 422, "bad-parameter", "image")["detail"]

    @pytest.mark.parametrize("value", ["no base64!", "ä", "a", "\ud800", 5, None, ["x"], {"data": "x"}])
    def test_what_is_no_base64(self, client: httpx.Client, value: Any) -> None:
        response = client.post(
            "/detect", content=json.dumps({"image": value}), headers={"content-type": "application/json"}
        )
        problem(
            response, 422, "bad-parameter", "image" if value != "\ud800" else response.json().get("field")
        )

    @pytest.mark.parametrize("text", ["", "data:image/png;base64,"])
    def test_an_empty_picture(self, client: httpx.Client, text: str) -> None:
        problem(client.post("/detect", json={"image": text}), 422, "not-an-image", "image")

    @pytest.mark.parametrize(
        "content",
        [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000, b"1e999999"],
    )
    def test_malformed(self, client: httpx.Client, content: bytes) -> None:
        response = client.post("/detect", content=content, headers={"content-type": "application/json"})
        assert "JSON" in problem(response, 422, "bad-parameter")["detail"]

    def test_no_picture(self, client: httpx.Client) -> None:
        problem(client.post("/detect", json={}), 422, "bad-parameter", "image")

    def test_an_unknown_field(self, client: httpx.Client) -> None:
        problem(client.post("/detect", json={"image": TEXT, "size": 3}), 422, "bad-parameter", "size")

    @pytest.mark.parametrize(
        "boxes",
        [
            "text",
            {},
            [1, 2, 3, 4],
            [[1, 2, 3]],
            [[3, 3, 2, 2]],
            [[0, 0, 1e-40, 1e-40]],
            [[1, 2, 3, 4]] * 5,
            [[500, 0, 600, 90]],
        ],
    )
    @pytest.mark.parametrize("address", ["/landmarks", "/embed"])
    def test_boxes_that_cannot_be(self, client: httpx.Client, address: str, boxes: Any) -> None:
        problem(client.post(address, json={"image": TEXT, "boxes": boxes}), 422, "bad-parameter", "boxes")
        form = {"files": {"image": picture()}, "data": {"boxes": json.dumps(boxes)}}
        problem(client.post(address, **form), 422, "bad-parameter", "boxes")  # type: ignore[arg-type]

    def test_boxes_that_are_no_json(self, client: httpx.Client) -> None:
        response = client.post("/landmarks", files={"image": picture()}, data={"boxes": "1,2,3,4 "})
        problem(response, 422, "bad-parameter", "boxes")


def test_a_client_that_goes_away_harms_nobody(fake_server: str) -> None:
    with connect(fake_server) as wire:
        wire.sendall(head("Content-Type: image/png", "Content-Length: 1000") + b"\x89PNG")
    time.sleep(0.1)
    assert http.get(f"{fake_server}/readyz").status_code == 200
