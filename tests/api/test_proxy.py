"""The service under a path of a proxy, which removes the path from requests or passes it on."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import urljoin

import httpx
import pytest

from app.main import create_app
from app.settings import Settings
from tests.api.pictures import picture
from tests.api.test_request_body import JPEG
from tests.fakes import fake_analyzer
from tests.proxies import proxy
from tests.servers import serving

KEY = "a-key-of-some-length"


@dataclass
class Proxied:
    """A client behind a proxy, which keeps all answers.

    Attributes:
        base: the outer address of the service.
        inner: its inner address, which no answer may have.
        client: the client.
        answers: the answers so far.
    """

    base: str
    inner: str
    client: httpx.Client
    answers: list[httpx.Response]

    def get(self, address: str, status: int = 200) -> httpx.Response:
        return self.send("GET", address, status)

    def post(self, address: str, status: int = 200, data: bytes | None = None) -> httpx.Response:
        return self.send("POST", address, status, picture() if data is None else data)

    def send(self, method: str, address: str, status: int, data: bytes | None = None) -> httpx.Response:
        headers = {} if data is None else JPEG
        answer = self.client.request(method, address, content=data, headers=headers)
        self.answers.append(answer)
        assert answer.status_code == status, answer.text
        return answer


@pytest.fixture(scope="module", params=["settings", "header", "header and keys"])
def service(request: pytest.FixtureRequest) -> Iterator[tuple[str, dict[str, str]]]:
    """The inner address of a service, and the header that its proxy adds."""
    by_settings = request.param == "settings"
    keys = frozenset({KEY}) if request.param.endswith("keys") else frozenset()
    settings = Settings(root_path="/facet" if by_settings else "", api_keys=keys)
    header = {} if by_settings else {"X-Forwarded-Prefix": "/facet"}
    with serving(create_app(settings, fake_analyzer()), settings=settings) as url:
        yield url, header | ({"X-API-Key": KEY} if keys else {})


@pytest.fixture(params=["removes", "passes on"])
def outside(request: pytest.FixtureRequest, service: tuple[str, dict[str, str]]) -> Iterator[Proxied]:
    inner, header = service
    with ExitStack() as stack:
        base = stack.enter_context(proxy(inner, "/facet", request.param == "removes", header))
        client = stack.enter_context(httpx.Client(timeout=30, verify=False))
        proxied = Proxied(base, inner.removeprefix("http://"), client, [])
        yield proxied
        for answer in proxied.answers:
            assert proxied.inner not in str(answer.headers), answer.url
            assert proxied.inner.encode() not in answer.content, answer.url
            assert "location" not in answer.headers, answer.url


def test_the_docs_page_and_its_files(outside: Proxied) -> None:
    for address in ("/docs", "/docs/"):
        page = outside.get(f"{outside.base}{address}")
        found = re.findall(r"(?:src|href|url)\s*[=:]\s*[\"']([^\"']+)[\"']", page.text)
        assert len(found) == 4
        assert all(address.startswith("/facet/") for address in found)
        for address in found:
            outside.get(urljoin(str(page.url), address))


def test_try_it_out(outside: Proxied) -> None:
    document = outside.get(f"{outside.base}/openapi.json")
    (server,) = document.json()["servers"]
    root = urljoin(str(document.url), server["url"]).rstrip("/")
    assert root == outside.base
    assert len(outside.post(f"{root}/detect").json()["faces"]) == 2


@pytest.mark.parametrize("address", ["", "/"])
def test_the_page(outside: Proxied, address: str) -> None:
    page = outside.get(f"{outside.base}{address}")
    (base,) = re.findall(r'<base href="([^"]+)">', page.text)
    assert base == "/facet/"
    assert "base-uri 'self'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    for name in ("docs", "console/style.css", "console/main.js"):
        assert f'"{name}"' in page.text
        outside.get(urljoin(urljoin(str(page.url), base), name))
    for name in ("example.jpg", "models", "console/main.js/"):
        outside.get(urljoin(urljoin(str(page.url), base), name))
    outside.get(f"{outside.base}/console/none.js", 404)


def test_problems(outside: Proxied) -> None:
    answer = outside.post(f"{outside.base}/detect?model=nobody", 422)
    body = answer.json()
    assert (body["type"], body["instance"]) == ("/facet/problems/unknown-model", "/facet/detect")
    about = outside.get(urljoin(str(answer.url), body["type"])).json()
    assert about["type"] == body["type"]
    files = {"image": b"no picture"}
    batch = outside.client.post(f"{outside.base}/detect/batch", files=files)
    (result,) = batch.json()["results"]
    assert (result["type"], result["instance"]) == ("/facet/problems/not-an-image", "/facet/detect/batch")
    detail = outside.get(f"{outside.base}/detects", 404).json()["detail"]
    assert "Did you mean /facet/detect? See /facet/docs" in detail
    form = outside.client.post(f"{outside.base}/detect", files=files | {"model": b"x"})
    assert "/facet/detect?model=VALUE" in form.json()["detail"]


def test_a_slash_at_the_end(outside: Proxied) -> None:
    assert len(outside.post(f"{outside.base}/detect/").json()["faces"]) == 2
    outside.get(f"{outside.base}/models/")
    outside.get(f"{outside.base}/livez//")


def test_methods(outside: Proxied) -> None:
    assert outside.send("OPTIONS", f"{outside.base}/detect", 204).headers["allow"] == "OPTIONS, POST"
    assert outside.send("PUT", f"{outside.base}/livez", 405).headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    ("allowed", "sent", "status"),
    [
        ("", None, 200),  # the proxy replaces the name by the address of the service, as nginx does
        ("", "faces.example.org", 421),  # it passes the name on, as Caddy does
        ("faces.example.org", "faces.example.org", 200),
        ("*.example.org", "faces.example.org", 200),
    ],
)
def test_the_host_name_that_a_proxy_sends(allowed: str, sent: str | None, status: int) -> None:
    headers = {} if sent is None else {"Host": sent}
    with (
        serving(create_app(Settings(allowed_hosts=allowed), fake_analyzer())) as inner,
        proxy(inner, "/facet", True, headers) as outer,
    ):
        assert httpx.get(f"{outer}/livez").status_code == status
