"""The hand-written references in docs/ against the code: problem types, metrics' reasons, settings."""

import re
from pathlib import Path
from typing import get_args

import pytest

from app.runtime.telemetry import GalleryAction, RejectReason
from app.service.problems import KINDS
from app.settings import Settings
from scripts.rest_reference import type_of

REFERENCE = Path("docs/reference")
NGINX = re.findall(
    r"^```nginx\n(.+?)^```",
    Path("docs/guides/proxy.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)
PAGES = [
    Path("README.md"),
    *Path("docs").glob("*.md"),
    *Path("docs/guides").glob("*.md"),
    *REFERENCE.glob("*.md"),
]


def test_the_errors_page_lists_every_problem_type_and_no_other() -> None:
    page = (REFERENCE / "errors.md").read_text(encoding="utf-8")
    rows = re.findall(r'^\| <a id="([\w-]+)"></a>`([\w-]+)` \| (\d+) \|', page, re.MULTILINE)
    assert {(anchor, slug, int(status)) for anchor, slug, status in rows} == {
        (kind.slug, kind.slug, kind.status) for kind in KINDS.values()
    }


def test_the_metrics_page_lists_every_reason_and_no_other() -> None:
    page = (REFERENCE / "metrics.md").read_text(encoding="utf-8").split("## Reasons")[1]
    assert set(re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)) == set(get_args(RejectReason))


def test_the_metrics_page_lists_every_action_of_the_gallery_and_no_other() -> None:
    page = (REFERENCE / "metrics.md").read_text(encoding="utf-8")
    (row,) = re.findall(
        r"^\| `face_gallery_changes_total` \| counter \| `action` \|(.+)\|$", page, re.MULTILINE
    )
    assert set(re.findall(r"`([\w-]+)`", row)) == set(get_args(GalleryAction))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_names_only_settings_that_exist(page: Path) -> None:
    settings = {f"FACE_{name}".upper() for name in Settings.model_fields}
    assert set(re.findall(r"\bFACE_[A-Z][A-Z_]+", page.read_text(encoding="utf-8"))) <= settings


@pytest.mark.parametrize(
    ("example", "path", "denied"),
    [
        (0, "/metrics", True),
        (0, "/metrics/", True),
        (0, "//metrics//", True),
        (0, "/collections/metrics", False),
        (0, "/metrics-of-mine", False),
        (1, "/facet/metrics", True),
        (1, "/facet/metrics/", True),
        (1, "/facet/facet/metrics", True),
        (1, "/facet/collections/metrics", False),
    ],
)
def test_the_nginx_examples_deny_the_metrics(example: int, path: str, denied: bool) -> None:
    (pattern,) = re.findall(r"location ~ (\S+) \{ deny all; \}", NGINX[example])
    assert (re.search(pattern, path) is not None) is denied


@pytest.mark.parametrize(("example", "value"), [(0, '""'), (1, "/facet")])
def test_the_nginx_examples_pass_no_prefix_of_a_client(example: int, value: str) -> None:
    locations = [text for text in NGINX[example].split("location ") if "proxy_pass" in text]
    assert locations
    assert all(f"proxy_set_header X-Forwarded-Prefix {value};" in text for text in locations)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"$ref": "#/components/schemas/Face"}, "[Face](#face)"),
        ({"type": "string", "format": "binary"}, "file"),
        ({"enum": ["a", "b"], "type": "string"}, "`a` or `b`"),
        (
            {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "null"}]},
            "number from 0 to 1, or null",
        ),
        ({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}, "[number, number]"),
        (
            {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
            "list of string or null",
        ),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "object of numbers"),
    ],
)
def test_types_in_words(schema: dict[str, object], text: str) -> None:
    assert type_of(schema) == text
