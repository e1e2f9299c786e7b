"""The parsers of requests: whatever comes, a value or a domain error."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.api import base64_text, json_body, multipart
from app.api.fields import Fields
from app.errors import BadParameter, FacetError
from app.service import boxes

MOST = 500
FIELDS = ("image", "boxes")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=25,
)
pieces = st.lists(
    st.sampled_from(
        [
            b"--cut",
            b"--",
            b"\r\n",
            b"\r",
            b"\n",
            b"\0",
            b'Content-Disposition: form-data; name="image"',
            b"Content-Disposition: form-data; name*=utf-8''%00",
            b"Content-Transfer-Encoding: base64",
            b": ",
            b'"',
            b";",
            b"x" * 300,
            bytes(range(256)),
        ]
    )
    | st.binary(max_size=20),
    max_size=25,
)


def parsed(body: list[bytes], content_type: str) -> list[multipart.Part]:
    async def chunks() -> AsyncIterator[bytes]:
        for piece in body:
            yield piece

    return asyncio.run(multipart.parse(content_type, chunks(), MOST))


@given(pieces)
def test_multipart(body: list[bytes]) -> None:
    try:
        parts = parsed([b"--cut\r\n", *body], "multipart/form-data; boundary=cut")
    except FacetError:
        return
    assert all(part.name and len(part.data) <= MOST for part in parts)


@given(st.text(max_size=60))
def test_content_types_of_multipart(options: str) -> None:
    header = f"multipart/form-data; {options}".encode("latin-1", "replace").decode("latin-1")
    with suppress(FacetError):
        parsed([b"--cut--\r\n"], header)


@given(st.lists(st.binary(max_size=100), max_size=5), st.integers(1, 40))
def test_multipart_is_read_alike_however_it_is_cut(data: list[bytes], step: int) -> None:
    whole = b"".join(
        b'--cut-%d\r\nContent-Disposition: form-data; name="p%d"\r\n\r\n%s\r\n' % (7, i, content)
        for i, content in enumerate(data)
    )
    whole += b"--cut-7--\r\n"
    found = parsed(
        [whole[i : i + step] for i in range(0, len(whole), step)], "multipart/form-data; boundary=cut-7"
    )
    assert [bytes(part.data) for part in found] == data


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_json_bodies(body: bytes) -> None:
    try:
        found = json_body.parse(body, Fields(("image",), (), "/embed", boxes=True))
    except FacetError:
        return
    assert set(found) <= set(FIELDS)
    assert isinstance(found.get("image", b""), bytes)


@given(json_values | st.lists(st.lists(st.floats() | st.integers(), min_size=3, max_size=5), max_size=5))
def test_boxes(value: Any) -> None:
    fault = None
    try:
        found = boxes.parse(value, 4)
    except BadParameter as error:
        fault = error
    if fault is not None:
        assert fault.field == "boxes"
        assert len(fault.detail) < 400
        return
    assert found.shape == (len(value), 4)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda data: data.decode("latin-1")))
def test_base64(text: str) -> None:
    fault = None
    try:
        assert isinstance(base64_text.decode(text, "image"), bytes)
    except BadParameter as error:
        fault = error
    if fault is not None:
        assert fault.field == "image"
        assert len(fault.detail) < 200
