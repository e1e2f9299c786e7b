import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from app.errors import CannotStart
from app.runtime.listening import listen


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of 127.0.0.1 that is in use."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("::", "[::]")])
def test_it_listens_and_says_where(host: str, shown: str, caplog: pytest.LogCaptureFixture) -> None:
    if ":" in host and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with caplog.at_level(logging.INFO):
        (opened,) = listen(host, 0)
    with closing(opened):
        port = opened.getsockname()[1]
        assert caplog.messages == [f"Listening on http://{shown}:{port}"]
        clients = ["::1", "127.0.0.1"] if host == "::" else [host]
        for client in clients:
            socket.create_connection((client, port), 10).close()


def test_a_name_with_several_addresses_has_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))
        for address in ("127.0.0.1", "127.0.0.2", "127.0.0.1", "203.0.113.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    first, second = listen("a-name", 0)  # the machine does not have the last address
    with closing(first), closing(second):
        assert {opened.getsockname()[0] for opened in (first, second)} == {"127.0.0.1", "127.0.0.2"}
        assert first.getsockname()[1] == second.getsockname()[1]


@pytest.mark.parametrize("host", ["203.0.113.1", "a name", "x" * 80, "nowhere.invalid"])
def test_an_unusable_host_is_named_with_its_setting(host: str) -> None:
    with pytest.raises(CannotStart) as caught:
        listen(host, 0)
    detail = caught.value.detail
    assert detail.startswith(f"The service cannot listen on '{host}': ")
    assert "Set FACE_HOST or --host" in detail


def test_a_port_in_use_is_named_with_its_setting(taken: int) -> None:
    with pytest.raises(CannotStart) as caught:
        listen("127.0.0.1", taken)
    detail = caught.value.detail
    assert detail.startswith(f"Port {taken} of 127.0.0.1 is in use by another program.")
    assert "FACE_PORT or --port" in detail


def test_a_port_that_is_not_permitted_is_named_with_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(socket.socket):
        def bind(self, address: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "socket", Refusing)
    with pytest.raises(CannotStart, match=r"not allowed to listen on port 80\. .*FACE_PORT or --port"):
        listen("127.0.0.1", 80)
