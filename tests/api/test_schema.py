"""The API against its own description: Schemathesis sends what it allows, and what it does not."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from tests.api.pictures import picture
from tests.servers import client_of

EXAMPLES = 6

LOOKED_FOR = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
"""Not that what the description allows is accepted: it cannot say which bytes are a picture."""


@schemathesis.serializer(
    "image/jpeg", "image/png", "image/webp", "image/bmp", "image/gif", "application/x-ndjson"
)
def as_bytes(context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture(scope="module")
def described(fake_server: str) -> Any:
    return schemathesis.openapi.from_url(f"{fake_server}/openapi.json")


@pytest.fixture(scope="module")
def known(fake_server: str) -> Iterator[dict[str, str]]:
    """Values of the parameters in paths, for which there is a collection with a person who has a face."""
    with client_of(fake_server) as client:
        client.put("/collections/described").raise_for_status()
        person = client.post("/collections/described/people").json()["id"]
        people = f"/collections/described/people/{person}"
        added = client.post(f"{people}/faces", files={"image": picture()}).raise_for_status().json()
        face = added["results"][0]["face"]["id"]
        yield {"name": "no-face", "collection": "described", "person": person, "face": face}
        client.delete("/collections/described")


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_the_api_is_as_described(described: Any, known: dict[str, str], mode: GenerationMode) -> None:
    seen: set[tuple[str, int]] = set()
    for found in described.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def holds(case: Any) -> None:
            if case.method != "DELETE":
                case.path_parameters = {name: known[name] for name in case.path_parameters or {}}
            response = case.call()
            seen.add((case.path, response.status_code))
            # In a batch a part that is no picture has a problem of its own, in an answer of 200. An empty
            # parameter gets its default.
            accepted = (
                case.path.endswith(("/batch", "/faces", "/cluster")) or "" in (case.query or {}).values()
            )
            checked = LOOKED_FOR[:-1] if accepted else LOOKED_FOR
            case.validate_response(response, checks=checked)

        if mode.is_positive or operation.body or operation.query:
            holds()
    assert ("/embed", 422) in seen
    assert len({path for path, _ in seen}) >= (25 if mode.is_positive else 15)
    if mode.is_positive:
        assert ("/collections/{collection}/people", 201) in seen
        assert ("/collections/{collection}/people/{person}", 404) in seen  # of DELETE


def test_no_address_takes_another_method(described: Any, known: dict[str, str]) -> None:
    operations = [found.ok() for found in described.get_all_operations()]
    for operation in operations:
        own = {other.method.upper() for other in operations if other.path == operation.path}
        for method in {"PUT", "PATCH", "DELETE", "TRACE"} - own:
            response = operation.Case(method=method, path_parameters=known).call()
            assert response.status_code == 405, operation.path
            allowed = ", ".join(response.headers["allow"]).split(", ")
            assert operation.method.upper() in allowed
            assert method not in allowed
