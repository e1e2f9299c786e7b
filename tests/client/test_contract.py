"""The client against the OpenAPI document of the service: its operations, its answers and its problems."""

import json
from typing import Any, get_type_hints

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from app.api.openapi import EXAMPLES
from app.main import create_app
from app.service.problems import KINDS
from app.settings import Settings
from facet_client import Facet, models
from facet_client.calls import json_of
from facet_client.errors import BY_SLUG, of_problem
from facet_client.models import Problem
from facet_client.operations.operation import Operation, operations_of

EXAMPLE_ANSWERS: dict[str, dict[str, Any]] = json.loads(EXAMPLES.read_text())

OPERATIONS = operations_of(Facet)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings(device="cpu")).openapi()


def operation_named(name: str) -> Operation[..., Any]:
    return next(vars(base)[name] for base in Facet.__mro__ if name in vars(base))


def model_for(path: str, method: str) -> type[BaseModel]:
    """The type of the JSON answer of a route."""
    (model,) = {
        get_type_hints(operation_named(name).build)["return"].__args__[0]
        for name, route in OPERATIONS.items()
        if route == f"{method.upper()} {path}"
    } - {bytes}
    assert issubclass(model, BaseModel)
    return model


def test_the_client_has_a_method_for_every_operation_of_the_service(document: dict[str, Any]) -> None:
    routes = {
        f"{method.upper()} {path}" for path, operations in document["paths"].items() for method in operations
    }
    assert set(OPERATIONS.values()) == routes
    assert len(routes) >= 32


def test_every_query_parameter_can_be_sent(document: dict[str, Any]) -> None:
    for name, route in OPERATIONS.items():
        method, _, path = route.partition(" ")
        declared = {p["name"] for p in document["paths"][path][method.lower()].get("parameters", ())}
        build = operation_named(name).build
        accepted = set(get_type_hints(build))
        if "options" in accepted:
            accepted |= set(get_type_hints(build)["options"].__args__[0].__annotations__)
        assert declared <= accepted, name


ROUTES = [(path, method) for path, methods in EXAMPLE_ANSWERS.items() for method in methods]


@pytest.mark.parametrize(("path", "method"), ROUTES)
def test_every_example_of_an_answer_is_read(path: str, method: str) -> None:
    answer = EXAMPLE_ANSWERS[path][method]
    result = json_of(model_for(path, method))(response(answer))
    assert_kept(answer, json.loads(result.model_dump_json()))


def response(answer: Any) -> httpx.Response:
    return httpx.Response(200, json=answer, request=httpx.Request("GET", "http://127.0.0.1/x"))


def assert_kept(sent: Any, read: Any) -> None:
    """Check that all fields of an answer are in what the client made of it."""
    if isinstance(sent, dict):
        for key, value in sent.items():
            assert key in read, key
            assert_kept(value, read[key])
    elif isinstance(sent, list):
        assert len(sent) == len(read)
        for pair in zip(sent, read, strict=True):
            assert_kept(*pair)
    else:
        assert sent == read


def test_the_models_have_the_fields_of_the_schemas(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        if name != "Erasing":  # the client returns a bool
            assert set(getattr(models, name).model_fields) == set(schema["properties"]), name


def test_what_the_service_may_leave_out_is_optional(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        if name == "Erasing":
            continue
        fields = getattr(models, name).model_fields
        required = {field for field in fields if fields[field].is_required()}
        assert required <= set(schema.get("required", ())), name


@given(st.sampled_from(ROUTES), st.data())
def test_the_answers_of_a_newer_service_are_read(route: tuple[str, str], data: st.DataObject) -> None:
    def newer(value: Any) -> Any:
        """A value with further fields in its objects, without times, and with short lists of numbers."""
        if isinstance(value, list):
            return [newer(one) for one in value[:5]]
        if not isinstance(value, dict):
            return value
        further = data.draw(st.dictionaries(st.sampled_from(["later", "x-1"]), st.integers(), max_size=1))
        return {key: newer(one) for key, one in value.items() if key != "timing_ms"} | further

    path, method = route
    model = model_for(path, method)
    assert isinstance(json_of(model)(response(newer(EXAMPLE_ANSWERS[path][method]))), model)


def test_every_problem_type_has_a_family() -> None:
    assert set(BY_SLUG) == set(KINDS)
    for slug, kind in KINDS.items():
        error = of_problem(Problem(type=f"/facet{kind.uri}", status=kind.status))
        assert type(error) is BY_SLUG[slug]
