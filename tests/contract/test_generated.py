"""What `make generate` writes: it is current, and the examples of OpenAPI are the service's own answers."""

import difflib
import json
import math
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.openapi import EXAMPLES
from app.runtime.search_net import GRAPH
from app.service.gallery_responses import Erasing
from app.settings import Settings
from scripts import openapi_examples, openapi_snapshot, rest_reference, search_graph, settings_reference

REQUEST = httpx.Request("GET", "http://127.0.0.1/people")

STORED: dict[str, dict[str, Any]] = json.loads(EXAMPLES.read_text())


def test_the_settings_reference_is_current() -> None:
    assert settings_reference.ENV.read_text() == settings_reference.env_text(
        settings_reference.ENV.read_text()
    )
    assert settings_reference.PAGE.read_text() == settings_reference.page_text()


def test_the_rest_reference_is_current() -> None:
    assert rest_reference.PAGE.read_text() == rest_reference.page_text()


def test_the_contract_of_the_api_changes_only_on_purpose() -> None:
    recorded = openapi_snapshot.SNAPSHOT.read_text(encoding="utf-8")
    current = openapi_snapshot.snapshot_text()
    lines = difflib.unified_diff(
        recorded.splitlines(), current.splitlines(), "recorded", "current", lineterm=""
    )
    changes = "\n".join(list(lines)[:60])
    assert not changes, (
        "The OpenAPI document differs from the recorded one, so clients see a change. If it is meant, run "
        f"`make generate`, and bring the Python client in `client/` and CHANGELOG.md up to date.\n{changes}"
    )


def test_the_search_graph_is_current() -> None:
    assert GRAPH.read_bytes() == search_graph.content()


def test_every_setting_is_described() -> None:
    page = Path("docs/reference/settings.md").read_text()
    for name, field in Settings.model_fields.items():
        assert field.description
        assert field.description[0].isupper()
        assert field.description.endswith(".")
        assert f"| `{settings_reference.variable(name)}` |" in page


@pytest.fixture(scope="module")
def document(server: str) -> dict[str, Any]:
    schema: dict[str, Any] = httpx.get(f"{server}/openapi.json").json()
    return schema


def test_every_route_with_a_json_answer_has_an_example(document: dict[str, Any]) -> None:
    seen = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                content = response.get("content", {}).get("application/json")
                if content is None:
                    continue
                seen.append(status)
                if status == "202":  # the same for every route
                    assert content["example"] == Erasing().model_dump()
                else:
                    assert content["example"] == STORED[path][method]
    assert {status: seen.count(status) for status in set(seen)} == {"200": 27, "201": 2, "202": 3}


def test_examples_are_the_services_own_answers(server: str, document: dict[str, Any]) -> None:
    with httpx.Client(base_url=server, timeout=60) as client:
        current = openapi_examples.answers(client, document)
    assert set(current) == set(STORED)
    for path, operations in current.items():
        for method, answer in operations.items():
            assert_alike(STORED[path][method], answer, f"{method} {path}")


def test_examples_of_the_gallery_do_not_depend_on_the_run() -> None:
    def answers(ids: list[str], created: str) -> dict[str, Any]:
        kept = openapi_examples._GalleryAnswers()
        people = {"people": [{"id": one, "created": created, "sha256": "ab" * 32} for one in ids]}
        assert kept.keep("get", "/people", httpx.Response(200, json=people, request=REQUEST)) == people
        kept.keep("get", "/person", httpx.Response(200, json=people["people"][1], request=REQUEST))
        return kept.by_path

    first = answers(["0" * 32, "1" * 32], "2030-01-01T00:00:00Z")
    assert first == answers(["f" * 32, "e" * 32], "2031-01-01T00:00:00Z")
    one, two = first["/people"]["get"]["people"]
    assert one["id"] != two["id"] == first["/person"]["get"]["id"]
    assert one["sha256"] == "ab" * 32


def test_times_change_with_the_stages_only() -> None:
    stored = {"faces": [{"score": 1}], "timing_ms": {"decode": 1.0, "total": 2.0}}
    current = {"faces": [{"score": 2}], "timing_ms": {"decode": 3.0, "total": 4.0}}
    assert openapi_examples.keep_times(current, stored) == current | {"timing_ms": stored["timing_ms"]}
    other = current | {"timing_ms": {"decode": 3.0, "pnet": 1.0, "total": 4.0}}
    assert openapi_examples.keep_times(other, stored) == other


def assert_alike(stored: Any, current: Any, where: str) -> None:
    """Compare two answers: numbers to a few digits, times by their stages, and not the version of Python."""
    assert type(stored) is type(current), where
    if isinstance(stored, dict):
        assert set(stored) == set(current), where
        for key in stored:
            if key == "timing_ms":
                assert list(stored[key]) == list(current[key]), where
            elif key != "python":
                assert_alike(stored[key], current[key], f"{where} {key}")
    elif isinstance(stored, list):
        assert len(stored) == len(current), where
        for index, (a, b) in enumerate(zip(stored, current, strict=True)):
            assert_alike(a, b, f"{where}[{index}]")
    elif isinstance(stored, float):
        pixels = any(name in where for name in ("box", "keypoints", "landmarks"))
        assert math.isclose(stored, current, abs_tol=0.05 if pixels else 1e-3), where
    else:
        assert stored == current, where
