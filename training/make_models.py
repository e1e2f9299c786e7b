"""Rebuild the model folder from the published weights (`make models`).

    python -m training.make_models                # rebuild all models and say which hashes changed
    python -m training.make_models --only sface   # rebuild one model

An imported net is fetched, checked, rebuilt in Keras, compared with its source implementation
(`training.importers.parity`) and exported. If it differs from its source by more than its limit, the
command ends before it writes the file. The int8 file of an embedder is made of its float file and of stored
activation ranges (`training.measure_ranges`). Trained nets stay as they are: their data cannot be
redistributed, and `training.export` exports them.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from app.runtime.manifest import MANIFEST, read_manifest, sha256
from training.exporting import activation_ranges, manifest
from training.exporting.activation_ranges import RangesMissing
from training.exporting.float_graph import UnknownGraph
from training.exporting.model_registry import products
from training.exporting.onnx import ParityError
from training.exporting.recipes import Recipe, golden_path
from training.importers.packages import CACHE, SourceError
from training.reports import model_cards

MODELS = Path("models")


def main(
    only: Annotated[list[str] | None, typer.Option(help="Rebuild this model alone. May be repeated.")] = None,
    models: Annotated[Path, typer.Option(help="The model folder.")] = MODELS,
    cache: Annotated[Path, typer.Option(help="Where published files are kept.")] = CACHE,
) -> None:
    """Rebuild the models and their golden files, the manifest and the model cards."""
    before = _hashes(models)
    listed = products(models)
    if unknown := sorted(set(only or []) - {product.name for product in listed}):
        known = ", ".join(product.name for product in listed)
        sys.exit(f"There is no model {' or '.join(unknown)} to rebuild. The models are: {known}.")
    entries: list[manifest.Entry] = []
    for product in listed:
        if only and product.name not in only and not product.complete(models):
            print(f"{product.name:22} left out: it is not in {models} yet")
            continue
        for recipe in product.recipes:
            if not only or product.name in only:
                _build(recipe, models, cache)
            print(f"{recipe.file:22} {_verdict(before.get(recipe.file), models / recipe.file)}")
            if recipe.int8 and (not only or product.name in only):
                _quantise(recipe, models, before)
        entries.append(product.entry(models))
    names = {entry["name"] for entry in entries}
    entries += [entry for entry in manifest.entries(models) if entry["name"] not in names]
    manifest.write(models, entries)
    (models / "README.md").write_text(model_cards.render(models))


def _build(recipe: Recipe, models: Path, cache: Path) -> None:
    if recipe.build is None:
        print(f"{recipe.file:22} stays as it is: {recipe.how}")
        return
    try:
        net = recipe.net(cache)
        parity = recipe.parity(net, cache) if recipe.parity else None
    except SourceError as error:
        sys.exit(f"{recipe.file}: {error}")
    if parity is not None and not parity.within_limit:
        sys.exit(f"{recipe.file}: the Keras net {parity}; nothing was written")
    if parity is not None:
        print(f"{recipe.file:22} Keras net {parity}")
    try:
        worst = recipe.write(net, models / recipe.file, golden_path(models, recipe.file))
    except ParityError as error:
        sys.exit(str(error))
    print(f"{recipe.file:22} ONNX differs from Keras by at most {worst:.2g}")


def _quantise(recipe: Recipe, models: Path, before: dict[str, str]) -> None:
    try:
        path, cosine = activation_ranges.make_int8(models, recipe.file)
    except (RangesMissing, UnknownGraph) as error:
        sys.exit(str(error))
    print(f"{path.name:22} vectors have a mean cosine of {cosine.mean} to float, at least {cosine.minimum}")
    print(f"{path.name:22} {_verdict(before.get(path.name), path)}")


def _hashes(models: Path) -> dict[str, str]:
    if not (models / MANIFEST).exists():
        return {}
    listed = (file for model in read_manifest(models).models for file in (*model.files, *model.int8))
    return {file.file: file.sha256 for file in listed}


def _verdict(before: str | None, path: Path) -> str:
    now = sha256(path)
    if before is None:
        return f"{now[:16]}, new"
    return f"{now[:16]}, {'as before' if now == before else f'was {before[:16]}'}"


if __name__ == "__main__":
    typer.run(main)
