"""The texts of the console: all are in its table, and each of the table is used."""

import re
from pathlib import Path

import pytest

from app.api.console_routes import CONSOLE

TABLE = CONSOLE / "messages.js"

MODULES = sorted(path for path in CONSOLE.rglob("*.js") if path != TABLE)

_KEY = re.compile(r'^  "([a-z_0-9.]+)": (.*?)(?=^  "|^};)', re.MULTILINE | re.DOTALL)

_COMMENT = re.compile(r"(?<!image)/\*.*?\*/|(?<![:\"'`])//[^\n]*", re.DOTALL)

_LITERAL = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|`[^`]*`")


def table() -> dict[str, str]:
    found = _KEY.findall(TABLE.read_text(encoding="utf-8"))
    assert len(found) == len(dict(found)), "a key is there twice"
    return dict(found)


def code(path: Path) -> str:
    """The source without comments."""
    return _COMMENT.sub("", path.read_text(encoding="utf-8"))


def literals(path: Path) -> list[str]:
    """The texts in the source, with `*` in the place of an expression."""
    return [re.sub(r"\$\{[^}]*\}", "*", text[1:-1]) for text in _LITERAL.findall(code(path))]


def keys_in(path: Path) -> list[str]:
    """The arguments of `text(...)`, also of calls inside a template."""
    found = re.findall(r"\btext\((?:\"([^\"]+)\"|`([^`]+)`)", code(path))
    return [re.sub(r"\$\{[^}]*\}", "*", "".join(name)) for name in found]


def pattern_of(key: str) -> re.Pattern[str]:
    return re.compile(re.escape(key).replace(r"\*", ".+"))


def test_every_message_is_used() -> None:
    patterns = [
        pattern_of(text) for path in MODULES for text in literals(path) + keys_in(path) if "." in text
    ]
    unused = [key for key in table() if "." in key and not any(p.fullmatch(key) for p in patterns)]
    assert unused == []


def test_every_key_is_in_the_table() -> None:
    keys = table()
    for path in MODULES:
        for key in keys_in(path):
            assert any(pattern_of(key).fullmatch(known) for known in keys), f"{path.name} uses {key}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_no_module_has_a_text_of_its_own(path: Path) -> None:
    """What a reader sees starts with a capital or has several words; selectors and headers do not."""
    allowed = {
        "Authorization",
        "Bearer *",
        "Content-Type",
        "AbortError",
        "Exif",
        "Files",
        "GET",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
    }
    for text in literals(path):
        sentence = re.fullmatch(r"[A-Z][a-z].*|[a-z]+( [a-z]+)+[.?!…]?", text)
        assert not sentence or text in allowed or "px" in text, f"{path.name}: {text!r}"


def test_values_of_a_text_with_a_number_have_two_forms() -> None:
    for key, message in table().items():
        if message.startswith("{"):
            assert re.findall(r"\b(one|other): ", message) == ["one", "other"], key
            assert "{count}" in message, key
