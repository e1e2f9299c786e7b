"""Write `app/api/examples.json`: the example responses of the OpenAPI document.

    python -m scripts.openapi_examples

The responses are those of the service, with the default models on the CPU, to its own example requests.
Those of the gallery come from requests that follow each other in an empty gallery. Their ids and times are
replaced, so that the file changes only if the responses do.
"""

import hashlib
import json
import re
import tempfile
import time
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from app.api.openapi import EXAMPLE_PICTURE, EXAMPLES, successes_of
from app.main import create_app
from app.settings import Settings
from app.wiring import load_analyzer

PATH_PARAMETERS = {"/problems/{name}": "/problems/unknown-model"}


COLLECTION = "family"
"""The collection of the examples. It is deleted first and last."""

_EXPIRES = "2040-01-01T00:00:00Z"
_TIME = "2026-11-27T12:00:00Z"


def answers(client: Any, schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the responses of all routes that respond with JSON, by path and method.

    Args:
        client: a test client of the service.
        schema: the OpenAPI document of the service.
    """
    in_gallery = gallery_answers(client)
    out: dict[str, dict[str, Any]] = {}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            if not successes_of(operation["responses"]):
                continue
            answer = in_gallery.get(path, {}).get(method) or _answer(client, path, method, operation)
            out.setdefault(path, {})[method] = answer
    return out


def gallery_answers(client: Any) -> dict[str, dict[str, Any]]:
    """Return the responses of the routes of the gallery that respond with JSON, by path and method.

    Args:
        client: a test client of the service.
    """
    pattern = "/collections/{collection}"
    person_pattern = f"{pattern}/people/{{person}}"
    address = f"/collections/{COLLECTION}"
    picture = {"image": EXAMPLE_PICTURE.read_bytes()}
    answers = _GalleryAnswers()
    keep = answers.keep
    client.delete(address)
    try:
        keep("put", pattern, client.put(address, json={"model": "fused"}))
        details = {"name": "Ada Lovelace", "external_id": "4711", "metadata": {"team": "engines"}}
        created = client.post(f"{address}/people", json={**details, "expires": _EXPIRES})
        ada = keep("post", f"{pattern}/people", created)["id"]
        person = f"{address}/people/{ada}"
        added = keep("post", f"{person_pattern}/faces", client.post(f"{person}/faces", files=picture))
        face = added["results"][0]["face"]["id"]
        other = client.post(f"{address}/people", json={"name": "Grace Hopper"}).json()["id"]
        keep("get", f"{pattern}/people", client.get(f"{address}/people"))
        keep("get", person_pattern, client.get(person))
        keep("get", f"{person_pattern}/faces", client.get(f"{person}/faces"))
        changed = client.patch(person, json={"name": "Ada King", "metadata": None})
        keep("patch", person_pattern, changed)
        keep("post", f"{pattern}/identify", client.post(f"{address}/identify", files=picture))
        keep("post", f"{person_pattern}/verify", client.post(f"{person}/verify", files=picture))
        moved = client.post(f"{person}/faces/{face}/move", json={"person": other})
        keep("post", f"{person_pattern}/faces/{{face}}/move", moved)
        merged = client.post(f"{address}/people/{other}/merge", json={"into": ada})
        keep("post", f"{person_pattern}/merge", merged)
        keep("get", pattern, client.get(address))
        keep("get", "/collections", client.get("/collections"))
        keep("post", f"{pattern}/purge", client.post(f"{address}/purge?dry_run=true"))
        exported = client.get(f"{address}/export").content
        client.delete(address)
        keep("post", f"{pattern}/import", client.post(f"{address}/import", content=exported))
    finally:
        client.delete(address)
    return answers.by_path


class _GalleryAnswers:
    """Answers of the gallery's routes, with ids and times that do not depend on the run.

    Attributes:
        by_path: the answers by path pattern and method.
    """

    def __init__(self) -> None:
        self.by_path: dict[str, dict[str, Any]] = {}
        self._ids: dict[str, str] = {}

    def keep(self, method: str, path: str, response: Any) -> Any:
        """Add the answer of a route.

        Args:
            method: the method, in small letters.
            path: the path pattern.
            response: the response.

        Returns:
            The answer as the service gave it.
        """
        response.raise_for_status()
        answer = response.json()
        if path == "/collections":  # a service under test may have others
            own = [one for one in answer["collections"] if one["name"] == COLLECTION]
            answer = {"collections": own}
        self.by_path.setdefault(path, {})[method] = self._fixed(answer)
        return answer

    def _fixed(self, value: Any, key: str = "") -> Any:
        """Return an answer with one time, and with ids that follow from the order of their appearance."""
        if isinstance(value, dict):
            return {name: self._fixed(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self._fixed(item) for item in value]
        if key == "created":
            return _TIME
        if isinstance(value, str) and re.fullmatch("[0-9a-f]{32}", value):
            number = str(len(self._ids))
            return self._ids.setdefault(value, hashlib.sha256(number.encode()).hexdigest()[:32])
        return value


def _answer(client: Any, path: str, method: str, operation: dict[str, Any]) -> Any:
    address = PATH_PARAMETERS.get(path, path)
    if method == "get":
        response = client.get(address)
    elif path.endswith("/batch"):
        response = client.post(address, files={"image": EXAMPLE_PICTURE.read_bytes()})
    elif path == "/cluster":
        response = client.post(address, files=[("image", EXAMPLE_PICTURE.read_bytes())] * 2)
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
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(device="cpu", precision="float", gallery=str(Path(folder) / "gallery.db"))
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
