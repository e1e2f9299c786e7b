"""`.env.example` against the settings it stands for: the service's, and those of docker-compose.yml."""

import os
import re
from pathlib import Path

import pytest

from app.settings import Settings

LINES = Path(".env.example").read_text().splitlines()
GIVEN = {
    name: value.split(" #")[0].strip()
    for name, _, value in (line.removeprefix("#").partition("=") for line in LINES)
    if re.fullmatch(r"[A-Z][A-Z0-9_]*", name)
}
SERVICE = {f"FACE_{name}".upper(): name for name in Settings.model_fields}
COMPOSE = Path("docker-compose.yml").read_text()


def test_it_has_the_settings_of_the_service_and_no_other() -> None:
    assert {name for name in GIVEN if name.startswith("FACE_")} == set(SERVICE)


@pytest.mark.parametrize("name", sorted(SERVICE))
def test_it_gives_the_default(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for other in [other for other in os.environ if other.startswith("FACE_")]:
        monkeypatch.delenv(other)
    default = getattr(Settings(), SERVICE[name])
    monkeypatch.setenv(name, GIVEN[name])
    found = getattr(Settings(), SERVICE[name])
    if name == "FACE_MODELS_DIR":
        found = tuple(map(Path.resolve, found))
    elif isinstance(found, Path) or name == "FACE_GALLERY":
        found = type(found)(Path(found).resolve())
    assert found == default


def test_it_has_the_variables_of_compose_and_their_defaults() -> None:
    asked = re.findall(r"(?<!\$)\$\{([A-Z_]+):([-+])([^}]*)\}", COMPOSE)
    assert {name for name, *_ in asked} - set(SERVICE) == set(GIVEN) - set(SERVICE)
    for name, kind, value in asked:
        path = value.startswith("./docker/")  # a stand-in where none is given
        assert GIVEN[name] == ("" if kind == "+" or path or name in SERVICE else value)


def test_each_setting_is_explained_and_changes_nothing_until_it_is_uncommented() -> None:
    blocks = [block.splitlines() for block in "\n".join(LINES).split("\n\n")]
    settings = [line for line in LINES if line.removeprefix("#").partition("=")[0] in GIVEN]
    assert all(line.startswith("#") for line in settings)
    for block in blocks:
        assert block[0].startswith("# ")
    before = dict(zip(LINES[1:], LINES, strict=False))
    unexplained = [line for line in settings if not before[line].startswith("#")]
    assert unexplained == []


def test_the_documents_table_has_the_settings_of_the_service_and_no_other() -> None:
    page = Path("docs/reference/settings.md").read_text()
    assert set(re.findall(r"^\| `(FACE_\w+)` \|", page, re.MULTILINE)) == set(SERVICE)
