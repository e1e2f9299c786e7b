from collections.abc import Iterator

import httpx
import pytest
from typer.testing import CliRunner

from app import server
from app.api.middleware.api_keys import OPEN
from app.cli import cli
from app.main import create_app
from app.settings import Settings, is_loopback
from tests.api.pictures import picture, problem
from tests.api.test_request_body import connect, head
from tests.fakes import fake_analyzer
from tests.servers import http, serving

KEYS = frozenset({"first-key-of-some-length", "second-key-of-some-length"})
LOCKED = ("/models", "/version", "/metrics", "/nowhere", "//models", "/readyz/", "/docsx", "/%2e/models")


@pytest.fixture(scope="module")
def locked() -> Iterator[str]:
    with serving(create_app(Settings(api_keys=KEYS), fake_analyzer())) as url:
        yield url


@pytest.mark.parametrize("key", sorted(KEYS))
@pytest.mark.parametrize("form", ["Bearer", "bearer", "x-api-key"])
def test_each_key_opens_in_each_form(locked: str, key: str, form: str) -> None:
    given = {"x-api-key": key} if form == "x-api-key" else {"authorization": f"{form} {key}"}
    assert http.get(f"{locked}/models", headers=given).status_code == 200
    assert http.post(f"{locked}/detect", headers=given, files={"image": picture()}).status_code == 200


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer first-key-of-some-lengt"},
        {"authorization": "Bearer first-key-of-some-length second-key-of-some-length"},
        {"authorization": "Basic first-key-of-some-length"},
        {"authorization": "first-key-of-some-length"},
        {"x-api-key": ""},
        {"x-api-key": "FIRST-KEY-OF-SOME-LENGTH"},
    ],
)
@pytest.mark.parametrize("address", LOCKED)
def test_without_one_nothing_opens(locked: str, address: str, given: dict[str, str]) -> None:
    response = http.get(f"{locked}{address}", headers=given)
    assert "first" not in problem_text(response)
    assert response.headers["www-authenticate"] == "Bearer"


def problem_text(response: httpx.Response) -> str:
    return str(problem(response, 401, "unauthorized"))


def test_probes_and_pages_are_open(locked: str) -> None:
    for address in (*OPEN, "/console/main.js", "/docs/assets/swagger-ui.css", "/problems/no-face"):
        assert http.get(f"{locked}{address}").status_code == 200, address


@pytest.mark.parametrize(
    "path",
    ["/console/../models", "/docs/assets/../../models", "/problems/../models", "/docs/assets/%2e%2e/x"],
)
def test_an_open_folder_is_no_way_round(locked: str, path: str) -> None:
    with connect(locked) as wire:
        wire.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert b" 404 " in wire.recv(65536).split(b"\r\n")[0]


def test_the_answer_comes_before_the_body(locked: str) -> None:
    with connect(locked) as wire:
        wire.sendall(head("Content-Type: image/png", "Content-Length: 99999"))
        assert b" 401 " in wire.recv(65536).split(b"\r\n")[0]


def test_the_description_says_so(locked: str, client: httpx.Client) -> None:
    kinds = http.get(f"{locked}/openapi.json").json()["components"]["securitySchemes"]
    assert {kind["type"] for kind in kinds.values()} == {"http", "apiKey"}
    assert "securitySchemes" not in client.get("/openapi.json").json()["components"]


def test_no_keys_no_locks(client: httpx.Client) -> None:
    assert client.get("/models").status_code == 200


@pytest.mark.parametrize(
    ("host", "keys", "warned"),
    [("0.0.0.0", "", True), ("0.0.0.0", min(KEYS), False), ("127.0.0.1", "", False)],
)
def test_an_open_door_is_loudly_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, host: str, keys: str, warned: bool
) -> None:
    monkeypatch.setenv("FACE_API_KEYS", keys)
    monkeypatch.setattr(server, "serve", lambda settings: 0)
    monkeypatch.setattr(server, "log_to_stderr", lambda settings: None)
    assert CliRunner().invoke(cli, ["serve", "--host", host]).exit_code == 0
    assert ("SECURITY: 0.0.0.0" in caplog.text) is warned


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.2", False),
        ("localhost.example.org", False),
    ],
)
def test_which_hosts_are_this_machine_alone(host: str, answer: bool) -> None:
    assert is_loopback(host) is answer
