"""Write `app/api/examples.json`: the service's own answers to the examples in its OpenAPI document.

    python -m scripts.openapi_examples

Every route gets the answer of the default models on the CPU to its own example request.
"""

import json
from typing import Any

from fastapi.testclient import TestClient

from app.api.openapi import EXAMPLE_PICTURE, EXAMPLES
from app.main import create_app
from app.settings import Settings
from app.wiring import load_analyzer

PATH_PARAMETERS = {"/problems/{name}": "/problems/unknown-model"}


def answers(client: Any, schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the JSON answers of all routes that have one, by path and method.

    Args:
        client: an httpx client of the service.
        schema: its OpenAPI document.
    """
    out: dict[str, dict[str, Any]] = {}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            if "application/json" in operation["responses"]["200"].get("content", {}):
                out.setdefault(path, {})[method] = _answer(client, path, method, operation)
    return out


def _answer(client: Any, path: str, method: str, operation: dict[str, Any]) -> Any:
    address = PATH_PARAMETERS.get(path, path)
    if method == "get":
        response = client.get(address)
    elif path.endswith("/batch"):
        response = client.post(address, files={"image": EXAMPLE_PICTURE.read_bytes()})
    else:
        response = client.post(
            address, json=operation["requestBody"]["content"]["application/json"]["example"]
        )
    response.raise_for_status()
    return response.json()


def main() -> None:
    """Start the service in this process and write its answers."""
    settings = Settings(device="cpu")
    app = create_app(settings, load_analyzer(settings))
    with TestClient(app) as client:
        while not client.get("/readyz").is_success:
            pass
        found = answers(client, client.get("/openapi.json").json())
    lines = [f"{json.dumps(path)}: {json.dumps(operations)}" for path, operations in found.items()]
    EXAMPLES.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"wrote {EXAMPLES} with the answers of {len(found)} routes")


if __name__ == "__main__":
    main()
