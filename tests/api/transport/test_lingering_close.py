import threading
import time
from contextlib import suppress

import pytest

from app.api.transport import body_limits
from tests.api.test_request_body import connect, head


def test_an_early_answer_reaches_a_client_that_closes_and_is_still_sending(fake_server: str) -> None:
    """Some four megabytes after the limit's 0.2 are read and thrown away, in place of a reset."""
    with connect(fake_server) as wire:
        wire.sendall(head("Content-Type: image/jpeg", "Connection: close", "Content-Length: 4000000"))
        wire.sendall(bytes(4_000_000))
        assert b" 413 " in wire.recv(65536).split(b"\r\n")[0]


@pytest.mark.parametrize("framing", ["Transfer-Encoding: chunked", "Content-Length: 100000000000"])
def test_a_client_that_never_ends_is_left_after_a_moment(
    fake_server: str, framing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert body_limits._MAX_LINGER_S == 2
    monkeypatch.setattr(body_limits, "_MAX_LINGER_S", 0.3)
    with connect(fake_server) as wire:
        wire.sendall(head("Content-Type: image/jpeg", "Connection: close", framing))
        start = time.monotonic()
        closed = threading.Event()

        def listen() -> None:
            with suppress(OSError):  # a reset ends it as well
                while wire.recv(65536):
                    pass
            closed.set()

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        chunk = b"%x\r\n%s\r\n" % (10_000, bytes(10_000))
        while not closed.is_set() and time.monotonic() - start < 10:
            try:
                wire.sendall(chunk)
            except OSError:
                break
            time.sleep(0.005)
        assert 0.2 <= time.monotonic() - start < 4.3  # the service may have begun to count before


def test_a_client_that_waits_for_leave_to_send_is_answered_at_once(fake_server: str) -> None:
    with connect(fake_server) as wire:
        start = time.monotonic()
        wire.sendall(head("Content-Type: text/plain", "Content-Length: 1000", "Expect: 100-continue"))
        answer = wire.recv(65536)
        assert b" 415 " in answer.split(b"\r\n")[0]
        assert time.monotonic() - start < 1


def test_answers_to_whole_requests_do_not_wait(fake_server: str) -> None:
    with connect(fake_server) as wire:
        start = time.monotonic()
        wire.sendall(head("Content-Type: image/jpeg", "Connection: close", "Content-Length: 5") + b"hello")
        answer = b""
        while piece := wire.recv(65536):
            answer += piece
        assert b" 422 " in answer.split(b"\r\n")[0]
        assert time.monotonic() - start < 1
