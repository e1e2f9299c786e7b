"""The parser: ambiguous framing, large heads, and bodies in tiny chunks are refused early."""

import h11
import pytest

from app.api.transport import h11_connection
from app.api.transport.h11_connection import MAX_HEAD, MAX_TARGET, H11Connection

CHUNKED = "Transfer-Encoding: chunked"


def head(*headers: str, version: str = "1.1", target: str = "/detect") -> bytes:
    return "\r\n".join([f"POST {target} HTTP/{version}", "Host: x", *headers, "", ""]).encode()


def events(data: bytes) -> tuple[int, str]:
    """The number of events before the parser needs more bytes, and its fault."""
    connection = H11Connection()
    connection.receive_data(data)
    count = 0
    try:
        while connection.next_event() not in (h11.NEED_DATA, h11.PAUSED):
            count += 1
    except h11.RemoteProtocolError:
        return count, connection.fault
    return count, ""


@pytest.mark.parametrize(
    ("headers", "version", "words"),
    [
        ([CHUNKED, "Content-Length: 5"], "1.1", "both Content-Length and Transfer-Encoding"),
        ([CHUNKED], "1.0", "HTTP/1.0 has no Transfer-Encoding"),
        (["Content-Length: 5", "Content-Length: 6"], "1.1", "conflicting Content-Length"),
        (["Content-Length: 5, 6"], "1.1", "conflicting Content-Length"),
        ([f"{CHUNKED}, chunked"], "1.1", "Only Transfer-Encoding: chunked"),
        ([CHUNKED, CHUNKED], "1.1", "multiple Transfer-Encoding"),
        (["Transfer-Encoding: gzip, chunked"], "1.1", "Only Transfer-Encoding: chunked"),
        (["Transfer-Encoding: identity"], "1.1", "Only Transfer-Encoding: chunked"),
    ],
)
def test_ambiguous_framing_is_refused(headers: list[str], version: str, words: str) -> None:
    count, fault = events(head(*headers, version=version))
    assert count == 0
    assert words in fault


def test_usual_requests_pass() -> None:
    assert events(head("Content-Length: 5") + b"hello") == (3, "")
    assert events(head(CHUNKED) + b"5\r\nhello\r\n0\r\n\r\n") == (3, "")
    assert events(head("Content-Length: 0", "X-Long: " + "x" * 15_000) + bytes(MAX_HEAD)) == (2, "")


def test_large_heads_are_refused_also_when_they_are_complete() -> None:
    for data in (head(*["a: b"] * 3000), head(*["a: b"] * 3000)[:-4]):
        count, fault = events(data)
        assert count == 0
        assert str(MAX_HEAD) in fault


def test_long_targets_are_refused() -> None:
    assert events(head("Content-Length: 0", target="/" + "x" * (MAX_TARGET - 1)))[1] == ""
    assert "path and query" in events(head("Content-Length: 0", target="/" + "x" * MAX_TARGET))[1]


@pytest.mark.parametrize("size", [1, 60, 400])
def test_tiny_chunks_are_refused_early(size: int) -> None:
    chunk = b"%x\r\n%s\r\n" % (size, bytes(size))
    count, fault = events(head(CHUNKED) + chunk * 10_000)
    assert "Send chunks of 512 bytes or more" in fault
    assert count < h11_connection._FREE_CHUNKS * 5


def test_many_chunks_of_a_fair_size_pass() -> None:
    chunk = b"400\r\n" + bytes(1024) + b"\r\n"
    assert events(head(CHUNKED) + chunk * 3000)[1] == ""


def test_a_small_body_may_come_in_tiny_chunks() -> None:
    assert events(head(CHUNKED) + b"1\r\nx\r\n" * 500 + b"0\r\n\r\n") == (502, "")


def test_chunks_count_anew_for_each_request() -> None:
    connection = H11Connection()
    for _ in range(3):
        connection.receive_data(head(CHUNKED) + b"1\r\nx\r\n" * 400 + b"0\r\n\r\n")
        while not isinstance(connection.next_event(), h11.EndOfMessage):
            pass
        connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
        connection.send(h11.EndOfMessage())
        connection.start_next_cycle()
