"""Hooks of MkDocs: pages of the site that lie outside docs/, and the links from and to them.

A link is written so that it works in the repository. `on_page_markdown` rewrites it for the site.
"""

import logging
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

PAGES = {
    "README.md": "project/readme.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "THIRD_PARTY_NOTICES.md": "project/third-party-notices.md",
    "LICENSE": "project/license.md",
    "tests/photos/README.md": "project/test-photographs.md",
    "models/README.md": "accuracy/model-cards.md",
} | {path.as_posix(): f"benchmarks/{path.name}" for path in sorted(Path("benchmarks/results").glob("*.md"))}
"""Pages outside docs/: their paths in the repository and in the site."""

_SOURCES = {uri: path for path, uri in PAGES.items()}

_LINK = re.compile(r"(\]\(|^\[[^\]]+\]:\s+)([^)\s#:]+)", re.MULTILINE)
_ATTRIBUTE = re.compile(r'\b((?:src|href)=")([^"#:]+)')


def on_startup(**_: Any) -> None:
    """Turn off one log line per module of the Python reference."""
    logging.getLogger("mkdocs.plugins.api-autonav").setLevel(logging.WARNING)


def on_files(files: Files, config: Any) -> Files:
    """Return the files of the site, with the pages that lie outside docs/."""
    for path, uri in PAGES.items():
        files.append(File.generated(config, uri, content=_content(Path(path))))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Return a page whose links point into the site."""
    source = _SOURCES.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def target_of(link: str) -> Any:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
        return files.get_file_from_path(PAGES.get(path, path.removeprefix("docs/")))

    def link(match: re.Match[str]) -> str:
        if (file := target_of(match[2])) is None:
            return match[0]
        return match[1] + posixpath.relpath(file.src_uri, posixpath.dirname(page.file.src_uri))

    def attribute(match: re.Match[str]) -> str:
        if (file := target_of(match[2])) is None:
            return match[0]
        return match[1] + str(file.url_relative_to(page.file))  # MkDocs leaves addresses in HTML as they are

    return _ATTRIBUTE.sub(attribute, _LINK.sub(link, markdown))


def _content(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".md":
        return f"# {path.name.capitalize()}\n\n```text\n{text}```\n"
    return text if text.startswith("# ") else f"# {path.stem.replace('-', ' ').capitalize()}\n\n{text}"
