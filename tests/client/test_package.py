"""The package of the client: what it imports, its version, and the example of its README."""

import ast
import contextlib
import io
import re
import sys
import tomllib
from pathlib import Path

import pytest

import facet_client
from facet_client import Facet

FOLDER = Path("client")


def imported(path: Path) -> set[str]:
    """The packages that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def test_the_client_imports_only_what_it_depends_on() -> None:
    sources = list((FOLDER / "src").rglob("*.py"))
    assert len(sources) > 10
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    dependencies = {re.split(r"[<>=]", one)[0] for one in project["dependencies"]}
    assert dependencies == {"httpx", "pydantic"}
    packages = set().union(*map(imported, sources)) - sys.stdlib_module_names
    assert packages == dependencies | {"facet_client"}


def test_the_client_has_the_version_and_the_licence_of_the_service() -> None:
    service = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert facet_client.__version__ == service["version"]
    assert (FOLDER / "LICENSE").read_text() == Path("LICENSE").read_text()
    assert (FOLDER / "src/facet_client/py.typed").exists()


@pytest.mark.parametrize("page", [FOLDER / "README.md", Path("docs/guides/python-client.md")], ids=str)
def test_the_examples_run_as_written(
    server: str, page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = page.read_text()
    code, expected = (
        "".join(re.findall(rf"```{language}\n(.+?)```", text, re.DOTALL)) for language in ("python", "text")
    )
    assert '"http://127.0.0.1:8000"' in code
    (tmp_path / "tests").symlink_to(Path("tests").resolve())
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(code.replace("http://127.0.0.1:8000", server), str(page), "exec"), {})
    finally:
        with Facet(server) as facet:
            for name in {one.name for one in facet.list_collections().collections} & {"family", "copy"}:
                facet.delete_collection(name)
    assert printed.getvalue() == expected


def test_the_example_of_the_readme_has_ten_lines() -> None:
    (code,) = re.findall(r"```python\n(.+?)```", (FOLDER / "README.md").read_text(), re.DOTALL)
    assert len(code.splitlines()) <= 10
