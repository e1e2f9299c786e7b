"""Methods and paths that do not exist, HEAD and OPTIONS."""

import httpx
import pytest

from tests.api.pictures import problem
from tests.api.test_request_body import connect

PAGES = (
    "/",
    "/docs",
    "/openapi.json",
    "/example.jpg",
    "/models",
    "/livez",
    "/readyz",
    "/version",
    "/metrics",
)


@pytest.mark.parametrize(
    "address", [*PAGES, "/problems/no-face", "/docs/assets/swagger-ui.css", "/console/main.js"]
)
def test_head_is_get_without_the_body(client: httpx.Client, address: str) -> None:
    got, head = client.get(address), client.head(address)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    if address != "/metrics":  # which count requests
        assert head.headers["content-length"] == got.headers["content-length"]


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("/detect", "OPTIONS, POST"),
        ("/embed/batch/", "OPTIONS, POST"),
        ("/models", "GET, HEAD, OPTIONS"),
        ("/", "GET, HEAD, OPTIONS"),
        ("/docs", "GET, HEAD, OPTIONS"),
        ("/openapi.json", "GET, HEAD, OPTIONS"),
        ("/problems/no-face", "GET, HEAD, OPTIONS"),
        ("/docs/assets/swagger-ui.css", "GET, HEAD, OPTIONS"),
        ("/console/main.js", "GET, HEAD, OPTIONS"),
    ],
)
def test_options_and_other_methods(client: httpx.Client, address: str, allowed: str) -> None:
    answer = client.options(address, headers={"origin": "https://example.org"})
    assert (answer.status_code, answer.content, answer.headers["allow"]) == (204, b"", allowed)
    assert not [name for name in answer.headers if name.startswith("access-control")]
    for method in ("PUT", "DELETE", "TRACE"):
        refused = client.request(method, address)
        assert refused.status_code == 405
        assert refused.headers["allow"] == allowed


def test_options_of_the_service(fake_server: str) -> None:
    with connect(fake_server) as wire:
        wire.sendall(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = wire.recv(65536)
    assert b" 204 " in answer.split(b"\r\n")[0]
    assert b"allow: GET, HEAD, OPTIONS" in answer


@pytest.mark.parametrize(
    ("method", "address", "use"), [("GET", "/detect", "POST"), ("POST", "/models", "GET")]
)
def test_the_right_method_is_named(client: httpx.Client, method: str, address: str, use: str) -> None:
    body = problem(client.request(method, address), 405, "method-not-allowed")
    assert body["detail"] == f"The path {address} does not support the method {method}. Use {use}."


@pytest.mark.parametrize(
    ("address", "like"),
    [
        ("/detects", "/detect"),
        ("/DETECT", "/detect"),
        ("/api/v1/detect", "/detect"),
        ("/landmark", "/landmarks"),
        ("/verify/batch", "/verify"),
        ("/health/ready", "/readyz"),
        ("/batch/detect/batch", "/detect/batch"),
    ],
)
def test_the_nearest_path_is_named(client: httpx.Client, address: str, like: str) -> None:
    assert f"Did you mean {like}?" in problem(client.post(address), 404, "not-found")["detail"]


@pytest.mark.parametrize(
    "address",
    [
        "/nothing/of/the/kind",
        "/problems/unheard-of",
        "/docs/assets/none.js",
        "/console/none.js",
        "/console/views/none.js",
    ],
)
def test_no_path_is_like_it(client: httpx.Client, address: str) -> None:
    assert "Did you mean" not in problem(client.get(address), 404, "not-found")["detail"]
