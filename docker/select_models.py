"""Remove the models that are for research only from a model folder, in a build of an image.

    python select_models.py FOLDER all|free

With `all` the folder stays as it is. With `free`, the manifest keeps the free models alone, and only its own
files remain. The script needs nothing but Python.
"""

import json
import sys
from pathlib import Path


def _needed(model: dict) -> set[str]:
    """Return the names of a model and of those that it needs."""
    return {model["name"], *model.get("parts", []), model.get("mesh", model["name"])}


def keep_free(folder: Path) -> None:
    """Remove the models of a folder that are not free, and each ONNX file that the manifest does not list."""
    manifest = folder / "manifest.json"
    models = json.loads(manifest.read_text())["models"]
    restricted = {model["name"] for model in models if model.get("research_only") or model.get("unlicensed")}
    free = [model for model in models if restricted.isdisjoint(_needed(model))]
    manifest.write_text(json.dumps({"models": free}, indent=2) + "\n")
    kept = {file["file"] for model in free for file in [*model["files"], *model.get("int8", [])]}
    for path in folder.glob("*.onnx"):
        if path.name not in kept:
            path.unlink()


if __name__ == "__main__":
    folder, weights = sys.argv[1:]
    if weights not in {"all", "free"}:
        sys.exit(f"WEIGHTS is {weights!r}; it must be all or free.")
    if weights == "free":
        keep_free(Path(folder))
