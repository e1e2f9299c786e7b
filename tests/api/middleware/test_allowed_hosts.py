from collections.abc import Iterator

import pytest

from app.main import create_app
from app.settings import Settings
from tests.api.pictures import problem
from tests.api.test_request_body import connect, head
from tests.fakes import fake_analyzer
from tests.servers import http, serving

ALLOWED = ("faces.example.org", "*.example.net")


@pytest.fixture(scope="module")
def local() -> Iterator[str]:
    """A service with the default settings: it listens on a loopback address, without keys."""
    with serving(create_app(Settings(), fake_analyzer())) as url:
        yield url


@pytest.fixture(scope="module")
def public() -> Iterator[str]:
    settings = Settings(host="0.0.0.0", allowed_hosts=",".join(ALLOWED), root_path="/facet")
    with serving(create_app(settings, fake_analyzer())) as url:
        yield url


def status(url: str, host: str, path: str = "/livez") -> int:
    return http.get(f"{url}{path}", headers={"host": host}).status_code


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:1", "localhost.", "127.0.0.1", "127.0.0.1:99", "[::1]", "[::1]:80", "10.1.2.3"],
)
def test_addresses_and_localhost_are_always_allowed(local: str, public: str, host: str) -> None:
    assert status(local, host) == 200
    assert status(public, host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example/localhost",
        "evil.example@localhost",
        "[evil.example]",
        "[::1",
        "localhost:80:80",
        "",
        "faces.example.org",
    ],
)
@pytest.mark.parametrize("path", ["/livez", "/readyz", "/", "/openapi.json", "/models", "/nowhere"])
def test_a_rebound_name_reads_nothing(local: str, host: str, path: str) -> None:
    answer = http.get(f"{local}{path}", headers={"host": host})
    assert "FACE_ALLOWED_HOSTS" in problem(answer, 421, "misdirected-request")["detail"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("faces.example.org", 200),
        ("FACES.example.org:443", 200),
        ("faces.example.org.", 200),
        ("a.example.net", 200),
        ("a.b.example.net:8000", 200),
        ("example.net", 421),
        ("badexample.net", 421),
        ("example.org", 421),
        ("a.faces.example.org", 421),
    ],
)
def test_names_of_the_setting(public: str, host: str, expected: int) -> None:
    assert status(public, host) == expected


def test_the_type_of_the_problem_has_the_path_of_the_service(public: str) -> None:
    body = http.get(f"{public}/facet/livez", headers={"host": "evil.example"}).json()
    assert (body["type"], body["instance"]) == ("/facet/problems/misdirected-request", "/facet/livez")


@pytest.mark.parametrize(
    "settings", [Settings(api_keys=frozenset({"a-key-of-some-length"})), Settings(host="0.0.0.0")]
)
def test_any_name_is_allowed_with_keys_or_on_another_address(settings: Settings) -> None:
    with serving(create_app(settings, fake_analyzer())) as url:
        assert status(url, "evil.example") == 200


def test_a_refused_request_is_answered_before_its_body(local: str) -> None:
    with connect(local) as client:
        client.sendall(head("Content-Length: 1000").replace(b"localhost", b"evil.example"))
        assert client.recv(100).startswith(b"HTTP/1.1 421")


@pytest.mark.parametrize(
    ("request_head", "expected"),
    [
        (b"GET /livez HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /livez HTTP/1.0\r\nHost: evil.example\r\n\r\n", b"421"),
        (b"GET /livez HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", b"400"),
    ],
)
def test_requests_without_or_with_two_hosts(local: str, request_head: bytes, expected: bytes) -> None:
    with connect(local) as client:
        client.sendall(request_head)
        assert client.recv(100).split(b" ")[1] == expected
