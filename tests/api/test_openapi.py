import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api.pictures import picture

TASKS = ("/detect", "/landmarks", "/embed", "/verify")


@pytest.fixture
def schema(client: httpx.Client) -> dict[str, Any]:
    body: dict[str, Any] = client.get("/openapi.json").json()
    return body


def test_all_problems_are_of_one_schema(schema: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in json.dumps(schema)
    for operations in schema["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    content = response["content"]["application/problem+json"]
                    assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
                    assert content["example"]["status"] == int(status)


def test_every_reference_leads_somewhere(schema: dict[str, Any]) -> None:
    for reference in set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(schema))):
        place: Any = schema
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place


@pytest.mark.parametrize("address", TASKS)
def test_bodies_and_problems_are_declared(schema: dict[str, Any], address: str) -> None:
    operation = schema["paths"][address]["post"]
    content = operation["requestBody"]["content"]
    assert next(iter(content)) == "application/json"  # what a page offers first is what has an example
    assert "multipart/form-data" in content
    assert ("image/jpeg" in content) is (address != "/verify")
    assert ("boxes" in content["multipart/form-data"]["schema"]["properties"]) is (
        address in ("/landmarks", "/embed")
    )
    for status in ("406", "413", "415", "422", "503"):
        problem = operation["responses"][status]["content"]
        assert list(problem) == ["application/problem+json"]
    assert ("image/png" in operation["responses"]["200"]["content"]) is (address in ("/detect", "/landmarks"))


def test_parameters_are_declared_with_their_ranges(schema: dict[str, Any]) -> None:
    declared = {p["name"]: p for p in schema["paths"]["/detect"]["post"]["parameters"]}
    assert set(declared) == {
        "model",
        "min_face_size",
        "threshold",
        "max_faces",
        "orientation",
        "pose",
        "quality",
    }
    assert declared["min_face_size"]["schema"]["minimum"] == 6
    assert declared["min_face_size"]["schema"]["default"] == 20
    assert declared["orientation"]["schema"]["enum"] == ["upright", "auto"]
    assert declared["orientation"]["schema"]["default"] == "upright"
    assert all(p["in"] == "query" and not p["required"] and p["description"] for p in declared.values())
    assert {p["name"] for p in schema["paths"]["/verify"]["post"]["parameters"]} == {
        "model",
        "threshold",
        "far",
        "orientation",
    }


@pytest.mark.parametrize("address", TASKS)
def test_the_examples_work(real: httpx.Client, address: str) -> None:
    schema = real.get("/openapi.json").json()
    content = schema["paths"][address]["post"]["requestBody"]["content"]
    response = real.post(address, json=content["application/json"]["example"])
    assert response.status_code == 200, response.text
    body = response.json()
    assert body.get("verified", True)
    assert len(body.get("faces", [1])) == 1


def test_examples_name_the_default_models(real: httpx.Client) -> None:
    """That each example is the service's own answer is tested with the other generated files."""
    paths = real.get("/openapi.json").json()["paths"]
    defaults = {model["name"] for model in real.get("/models").json()["models"] if model["default"]}
    named = {
        name
        for address in (*TASKS, *(f"{task}/batch" for task in TASKS[:-1]))
        for name in models_in(
            paths[address]["post"]["responses"]["200"]["content"]["application/json"]["example"]
        )
    }
    assert named == defaults
    assert len(named) == 3


def models_in(answer: Any) -> Iterator[str]:
    """Yield the names of models in an answer."""
    if isinstance(answer, dict):
        yield from (answer[key] for key in ("model", "detector") if key in answer)
    for value in answer.values() if isinstance(answer, dict) else answer if isinstance(answer, list) else ():
        yield from models_in(value)


def test_verify_says_which_face_is_compared(schema: dict[str, Any]) -> None:
    assert "0.7 of the area" in schema["paths"]["/verify"]["post"]["description"]


def test_the_docs_page_and_all_it_asks_for_come_from_here(client: httpx.Client) -> None:
    page = client.get("/docs").text
    addresses = re.findall(r"(?:src|href|url)\s*[=:]\s*[\"']([^\"']+)[\"']", page)
    assert len(addresses) == 4
    for address in addresses:
        assert address.startswith("/"), address
        assert client.get(address).status_code == 200, address
    assert "jsdelivr" not in page
    assert "SwaggerUIBundle" in client.get("/docs/assets/swagger-ui-bundle.js").text


def test_answers_have_the_declared_fields(client: httpx.Client, schema: dict[str, Any]) -> None:
    names = {"/detect": "DetectResponse", "/landmarks": "LandmarksResponse", "/embed": "EmbedResponse"}
    for address, name in names.items():
        body = client.post(address, files={"image": picture()}).json()
        assert set(body) == set(schema["components"]["schemas"][name]["properties"])
    body = client.post("/verify", files={"image_a": picture(), "image_b": picture()}).json()
    assert set(body) == set(schema["components"]["schemas"]["VerifyResponse"]["properties"])
