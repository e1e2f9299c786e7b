"""Write `docs/reference/openapi.json`: the contract of the API, whose changes reviews and tests show.

    python -m scripts.openapi_snapshot

It is the OpenAPI document of the application without loaded models, and without the example of each body,
which is an image in base64 or a long list of numbers.
"""

import json
from pathlib import Path
from typing import Any

from app.main import create_app
from app.settings import Settings

SNAPSHOT = Path("docs/reference/openapi.json")


def snapshot_text() -> str:
    """Return `docs/reference/openapi.json`."""
    return json.dumps(_without_examples(create_app(Settings(device="cpu")).openapi()), indent=1) + "\n"


def _without_examples(value: Any) -> Any:
    """Return a part of the document without the examples of bodies."""
    if isinstance(value, dict):
        has_body = "schema" in value
        return {
            name: _without_examples(item)
            for name, item in value.items()
            if not (has_body and name == "example")
        }
    return [_without_examples(item) for item in value] if isinstance(value, list) else value


def main() -> None:
    """Write the snapshot."""
    SNAPSHOT.write_text(snapshot_text(), encoding="utf-8")
    print(f"wrote {SNAPSHOT}")


if __name__ == "__main__":
    main()
