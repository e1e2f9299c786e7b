"""Write `app/api/examples.json`: the example responses of the OpenAPI document.

    python -m scripts.openapi_examples

The responses are those of the service, with the default models on the CPU, to its own example requests.
"""

import json
import time
from typing import Any

from fastapi.testclient import TestClient

from app.api.openapi import EXAMPLE_PICTURE, EXAMPLES
from app.main import create_app
from app.settings import Settings
from app.wiring import load_analyzer

PATH_PARAMETERS = {"/problems/{name}": "/problems/unknown-model"}


def answers(client: Any, schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the responses of all routes that respond with JSON, by path and method.

    Args:
        client: a test client of the service.
        schema: the OpenAPI document of the service.
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


def keep_times(current: Any, stored: Any) -> Any:
    """Return the current answers with the stored times of the same stages, so that only real changes show."""
    if isinstance(current, dict) and isinstance(stored, dict):
        return {key: _kept(key, value, stored.get(key)) for key, value in current.items()}
    if isinstance(current, list) and isinstance(stored, list) and len(current) == len(stored):
        return [keep_times(*pair) for pair in zip(current, stored, strict=True)]
    return current


def _kept(key: str, current: Any, stored: Any) -> Any:
    if key == "timing_ms" and isinstance(stored, dict) and list(current) == list(stored):
        return stored
    return keep_times(current, stored)


def main() -> None:
    """Start the service in this process, and write its responses."""
    settings = Settings(device="cpu", precision="float")
    app = create_app(settings, load_analyzer(settings))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        while (ready := client.get("/readyz")).status_code == 503:
            time.sleep(0.1)
        ready.raise_for_status()
        found = answers(client, client.get("/openapi.json").json())
    found = keep_times(found, json.loads(EXAMPLES.read_text()))
    lines = [f"{json.dumps(path)}: {json.dumps(operations)}" for path, operations in found.items()]
    EXAMPLES.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"wrote {EXAMPLES} with the responses of {len(found)} routes")


if __name__ == "__main__":
    main()
