import asyncio
from ipaddress import ip_network

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from app.api.middleware.request_path import IgnoreTrailingSlash, RequestPath
from app.main import create_app
from app.settings import Settings
from tests.api.pictures import picture, problem
from tests.api.test_request_body import JPEG, connect
from tests.fakes import fake_analyzer
from tests.servers import http, serving

LOOPBACK = tuple(ip_network(text) for text in ("127.0.0.0/8", "::1"))


def seen(
    path: str, headers: dict[str, str] | None = None, root: str = "", client: str | None = "127.0.0.1"
) -> tuple[str, str]:
    """The root path and the path that the application gets."""
    found: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(scope)

    scope: Scope = {
        "type": "http",
        "path": path,
        "raw_path": path.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
        "client": None if client is None else (client, 1),
    }
    middleware = RequestPath(IgnoreTrailingSlash(app), root, LOOPBACK)
    asyncio.run(middleware(scope, None, None))  # type: ignore[arg-type]
    return found[0]["root_path"], found[0]["path"]


@pytest.mark.parametrize("way", ["settings", "header"])
@pytest.mark.parametrize(
    ("path", "complete"),
    [
        ("/detect", "/facet/detect"),
        ("/facet/detect", "/facet/detect"),
        ("/detect/", "/facet/detect"),
        ("/facet/detect//", "/facet/detect"),
        ("/", "/facet/"),
        ("/facet", "/facet/"),
        ("/facet/", "/facet/"),
        ("/facets", "/facet/facets"),
        ("/facet/facet/detect", "/facet/facet/detect"),
        ("http://example.org/detect", "/facet/detect"),
        ("http://example.org/facet/detect", "/facet/detect"),
    ],
)
def test_a_path_is_completed(way: str, path: str, complete: str) -> None:
    if way == "settings":
        assert seen(path, root="/facet") == ("/facet", complete)
    else:
        assert seen(path, {"x-forwarded-prefix": "/facet"}) == ("/facet", complete)


@pytest.mark.parametrize(
    ("value", "root"),
    [
        ("/facet", "/facet"),
        ("/facet/", "/facet"),
        ("/a/b-c_d.e~f", "/a/b-c_d.e~f"),
        ("/outer, /inner", "/outer/inner"),
        ("/", ""),
        ("/,/facet", "/facet"),
    ],
)
def test_prefixes(value: str, root: str) -> None:
    assert seen("/detect", {"x-forwarded-prefix": value}) == (root, f"{root}/detect")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "facet",
        "//evil.example",
        "///",
        "https://evil.example",
        "/a//b",
        "/a/../b",
        "/..",
        "/.",
        "/a/./b",
        "/a\r\nX: y",
        "/a%0d%0a",
        "/a b",
        '/"><script>alert(1)</script>',
        "/a;b",
        "/a?b",
        "/a#b",
        "/a\\b",
        "/a@b",
        "/ä",
        "/a,//evil.example",
        "//evil.example,/a",
        "/" + "a" * 300,
        "javascript:alert(1)",
    ],
)
def test_hostile_prefixes_are_ignored(value: str) -> None:
    assert seen("/detect", {"x-forwarded-prefix": value}) == ("", "/detect")


@pytest.mark.parametrize(
    ("client", "trusted"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.168.0.2", False),
        ("::ffff:192.168.0.2", False),
        ("fe80::1%eth0", False),
        ("testclient", False),
        ("", False),
        (None, False),
    ],
)
def test_only_trusted_proxies_name_a_prefix(client: str | None, trusted: bool) -> None:
    root, _ = seen("/detect", {"x-forwarded-prefix": "/facet"}, client=client)
    assert root == ("/facet" if trusted else "")


def test_the_settings_win_over_the_header() -> None:
    assert seen("/detect", {"x-forwarded-prefix": "/other"}, root="/facet") == ("/facet", "/facet/detect")


def test_a_forwarded_address_makes_nobody_trusted() -> None:
    """uvicorn would replace the address of the proxy by that of the header."""
    settings = Settings(trusted_proxies="10.0.0.0/8")
    with serving(create_app(settings, fake_analyzer()), settings=settings) as url:
        headers = {"x-forwarded-for": "10.0.0.1", "x-forwarded-prefix": "/facet"}
        assert http.get(f"{url}/nowhere", headers=headers).json()["type"] == "/problems/not-found"


@pytest.mark.parametrize("value", ["//evil.example", '/"><script>alert(1)</script>', "/a/../b"])
def test_no_answer_has_a_hostile_prefix(client: httpx.Client, value: str) -> None:
    for address in ("/", "/docs", "/openapi.json", "/nowhere", "/detect/"):
        answer = client.get(address, headers={"x-forwarded-prefix": value})
        assert "evil" not in answer.text + str(answer.headers)
        assert "alert(1)" not in answer.text
        assert "<base href" not in answer.text
        assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://example.org/livez", b"200"),
        ("HTTP://example.org:8000/livez?x=1", b"200"),
        ("https://user@[::1]:80/models/", b"200"),
        ("http://example.org", b"200"),
        ("http://example.org/nowhere", b"404"),
        ("http://a%2Fb/livez", b"200"),
        ("ftp://example.org/livez", b"404"),
    ],
)
def test_a_request_line_with_a_complete_address(fake_server: str, target: str, status: bytes) -> None:
    with connect(fake_server) as wire:
        wire.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert wire.recv(65536).split(b" ")[1] == status


def test_a_complete_address_with_a_body(client: httpx.Client, fake_server: str) -> None:
    data = picture()
    with connect(fake_server) as wire:
        head = "POST http://example.org/detect?max_faces=1 HTTP/1.1\r\nHost: localhost\r\n"
        head += f"Connection: close\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
        wire.sendall(head.encode() + data)
        assert wire.recv(65536).split(b" ")[1] == b"200"


@pytest.mark.parametrize("address", ["/detect/", "/detect///"])
def test_a_slash_at_the_end_is_no_redirect(client: httpx.Client, address: str) -> None:
    assert len(client.post(address, content=picture(), headers=JPEG).json()["faces"]) == 2
    assert client.get("/models/").status_code == 200
    assert client.get("/docs/").status_code == 200


def test_slashes_at_the_start(fake_server: str) -> None:
    response = http.post(f"{fake_server}//detect", content=picture(), headers=JPEG)
    assert "Did you mean /detect?" in problem(response, 404, "not-found")["detail"]
