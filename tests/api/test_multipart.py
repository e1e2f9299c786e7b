import asyncio
from collections.abc import AsyncIterator

import pytest

from app.api import multipart
from app.errors import BadParameter

BODY = b'--cut\r\nContent-Disposition: form-data; name="image"\r\n\r\n--cu\r\n--cut--\r\n'


def parsed(chunks: list[bytes], boundary: str = "cut") -> list[multipart.Part]:
    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return asyncio.run(multipart.parse(f"multipart/form-data; boundary={boundary}", body(), 1000))


@pytest.mark.parametrize("preamble", [b"", b"\r\n", b"\n", b"preamble\r\n", b"--cutter\r\n", b"--cu\r\n\r\n"])
def test_a_body_in_two_chunks(preamble: bytes) -> None:
    whole = preamble + BODY + b"epilogue\r\n--cut"
    for i in range(len(whole) + 1):
        (part,) = parsed([whole[:i], whole[i:]])
        assert (part.name, bytes(part.data)) == ("image", b"--cu"), i


def test_a_body_byte_by_byte() -> None:
    whole = b"preamble\r\n" + BODY
    (part,) = parsed([whole[i : i + 1] for i in range(len(whole))])
    assert bytes(part.data) == b"--cu"


def test_a_long_preamble() -> None:
    (part,) = parsed([b"-\r\n--cut" * 5000] * 20 + [b"-\r\n" + BODY])
    assert bytes(part.data) == b"--cu"


def test_a_boundary_is_a_whole_line() -> None:
    with pytest.raises(BadParameter, match="does not occur"):
        parsed([b"text --cut\r\n" + BODY[7:-9]])


@pytest.mark.parametrize("boundary", ["a.b(c", "'()+_,-./:=?", '"a b"'])
def test_signs_in_a_boundary(boundary: str) -> None:
    plain = boundary.strip('"').encode()
    (part,) = parsed([BODY.replace(b"--cut", b"--" + plain)], boundary)
    assert bytes(part.data) == b"--cu"


def test_a_boundary_all_over_the_content_is_refused() -> None:
    """The parser takes long for each place that begins like a boundary."""
    start = b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\n'
    with pytest.raises(BadParameter, match="occurs in the content"):
        parsed([start, b"\r\n--bx" * 2000, b"\r\n--b--"], "b")
