"""The files of the console: each that is named is served, and none needs another host."""

import mimetypes
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from app.api.console_routes import CONSOLE, MEDIA_TYPES
from tests.api.pictures import problem

FILES = sorted(path for path in CONSOLE.rglob("*") if path.is_file())
SERVED = [path.relative_to(CONSOLE).as_posix() for path in FILES if path.suffix in MEDIA_TYPES]
TEXTS = [path for path in FILES if path.suffix != ".jpg"]

HTML = (CONSOLE / "index.html").read_text(encoding="utf-8")

_IMPORT = re.compile(
    r"""^\s*(?:import|export)\b[^"';(=]*["']([^"']+)["']|\bimport\(\s*["'`]([^"'`]+)""", re.MULTILINE
)
_CSS_ADDRESS = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")


def names_in(pattern: re.Pattern[str], text: str) -> list[str]:
    return ["".join(groups) for groups in pattern.findall(text)]


def named_files() -> Iterator[tuple[str, str]]:
    """Each file that is named, and the file that names it."""
    for name in re.findall(r'<(?:link|script|img)\b[^>]*\s(?:src|href)="([^"]+)"', HTML):
        yield "/", f"/{name}"
    for name in SERVED:
        pattern = _IMPORT if name.endswith(".js") else _CSS_ADDRESS
        for found in names_in(pattern, (CONSOLE / name).read_text(encoding="utf-8")):
            assert found.startswith("./") or found.startswith("../"), f"{name} names {found}"
            yield name, urljoin(f"/console/{name}", found)


def test_every_file_that_is_named_is_served(client: httpx.Client) -> None:
    named = [(source, name) for source, name in named_files() if not name.startswith("/data:")]
    assert ("/", "/console/style.css") in named
    assert ("/", "/console/main.js") in named
    for source, name in named:
        response = client.get(name)
        assert response.status_code == 200, f"{source} names {name}"
        assert response.headers["content-type"].split(";")[0] == MEDIA_TYPES[Path(name).suffix]


def test_imports_of_all_forms_are_found() -> None:
    text = """import "./a.js";
import { x } from "./b.js";
import {
  y, z
} from './c.js';
export * from "./d.js";
const e = await import("./e.js");
// an important "word"
const text = "import";"""
    assert names_in(_IMPORT, text) == [f"./{name}.js" for name in "abcde"]


def test_every_file_has_its_place() -> None:
    others = {path.relative_to(CONSOLE).as_posix() for path in FILES} - set(SERVED)
    assert others == {"index.html", "example.jpg"}


def test_every_file_is_used() -> None:
    used = {name.removeprefix("/console/") for _, name in named_files()}
    assert set(SERVED) <= used


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_no_file_names_another_host(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/", "")  # namespaces of XML
    assert not re.search(r"\b(?:https?|wss?):|[\"'`(=]\s*//", text)


def test_the_page_has_no_inline_script_or_style(client: httpx.Client) -> None:
    response = client.get("/")
    assert response.headers["content-type"].startswith("text/html")
    assert response.headers["cache-control"] == "no-store"
    assert response.text == HTML
    assert not re.search(r"<style\b|<[^>]+\sstyle\s*=|<[^>]+\son\w+\s*=|javascript:", HTML)
    scripts = re.findall(r"<script\b([^>]*)>(.*?)</script>", HTML, re.DOTALL)
    assert scripts == [(' type="module" src="console/main.js"', "")]


@pytest.mark.parametrize("name", SERVED)
def test_a_browser_asks_whether_a_file_is_still_valid(client: httpx.Client, name: str) -> None:
    first = client.get(f"/console/{name}")
    assert first.headers["cache-control"] == "no-cache"
    again = client.get(f"/console/{name}", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "no-cache"
    assert client.get(f"/console/{name}", headers={"if-none-match": '"other"'}).status_code == 200


def test_types_do_not_depend_on_the_host(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    mimetypes.init()
    for suffix in (".js", ".css"):
        monkeypatch.setitem(mimetypes.types_map, suffix, "text/plain")  # as in some registries of Windows
        assert mimetypes.guess_type(f"file{suffix}") == ("text/plain", None)
        (name,) = [name for name in SERVED if name.endswith(suffix)][:1]
        response = client.get(f"/console/{name}")
        assert response.headers["content-type"] == f"{MEDIA_TYPES[suffix]}; charset=utf-8"


@pytest.mark.parametrize(
    "name",
    ["index.html", "example.jpg", "views", "none.js", "../console_routes.py", "%2e%2e/examples.json"],
)
def test_nothing_else_is_served(client: httpx.Client, name: str) -> None:
    problem(client.get(f"/console/{name}"), 404, "not-found")


def test_the_example_is_a_picture(client: httpx.Client) -> None:
    response = client.get("/example.jpg")
    assert response.headers["content-type"] == "image/jpeg"
    assert len(response.content) < 16_384
