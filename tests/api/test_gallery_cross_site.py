"""Web pages of other hosts: a browser sends some of their requests without asking the service."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.main import create_app
from app.settings import Settings
from tests.api.pictures import picture, problem
from tests.fakes import fake_analyzer
from tests.servers import client_of, serving

FOREIGN = [
    {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site"},
]
"""What browsers say about a page of another host, also old ones, and of another port."""

KINDS = ["", "text/plain", "application/x-www-form-urlencoded"]
"""Content types that a page sends unasked: `fetch` of a Blob without a type sends none."""


@pytest.fixture
def people(client: httpx.Client) -> Iterator[str]:
    client.put("/collections/attacked").raise_for_status()
    yield "/collections/attacked/people"
    client.delete("/collections/attacked").raise_for_status()


@pytest.mark.parametrize("page", FOREIGN, ids=str)
def test_it_changes_nothing(client: httpx.Client, people: str, page: dict[str, str]) -> None:
    person = client.post(people, json={"name": "Ada"}).json()["id"]
    exported = client.get("/collections/attacked/export").content
    for kind in KINDS:
        headers = page | {"Content-Type": kind}
        problem(client.post(people, content=b'{"name": "Eve"}', headers=headers), 403, "cross-site")
        problem(client.post("/collections/eve/import", content=exported, headers=headers), 403, "cross-site")
    added = client.post(f"{people}/{person}/faces", files={"image": picture()}, headers=page)
    problem(added, 403, "cross-site")
    problem(client.post(people, headers=page), 403, "cross-site")
    problem(client.delete("/collections/attacked", headers=page), 403, "cross-site")
    problem(client.get("/collections/eve"), 404, "unknown-id", "collection")
    assert [(one["name"], one["faces"]) for one in client.get(people).json()["people"]] == [("Ada", 0)]


def test_it_gets_no_permission(client: httpx.Client, people: str) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    response = client.options(people, headers=FOREIGN[0] | asked)
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_the_services_own_pages_and_programs_may(client: httpx.Client, people: str) -> None:
    own = f"http://{client.base_url.netloc.decode()}"
    for headers in (
        {},
        {"Origin": own, "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://faces.example", "Sec-Fetch-Site": "same-origin"},  # a proxy names another host
        {"Origin": own},
        {"Sec-Fetch-Site": "none"},
    ):
        assert client.post(people, headers=headers).status_code == 201
    assert client.get(people, headers=FOREIGN[0]).status_code == 200


def test_with_keys_the_key_decides(tmp_path: Path) -> None:
    key = "a-key-of-sixteen-characters"
    settings = Settings(api_keys=key, gallery=str(tmp_path / "gallery.db"))
    with serving(create_app(settings, fake_analyzer())) as url, client_of(url) as client:
        address = "/collections/family"
        problem(client.put(address, headers=FOREIGN[0]), 401, "unauthorized")
        assert client.put(address, headers=FOREIGN[0] | {"X-API-Key": key}).status_code == 201
