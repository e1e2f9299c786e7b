"""The products of the model folder."""

from pathlib import Path

import pytest

from app.vision.spec import FusionSpec
from tests.stores import write_store
from training.exporting import manifest
from training.exporting.model_registry import (
    DEFAULTS,
    TRAINED_DETECTORS,
    TRAINED_EMBEDDERS,
    TRAINED_LANDMARKS,
    products,
)
from training.exporting.recipes import Product

MODELS = Path("models")


@pytest.fixture(scope="module")
def listed() -> list[Product]:
    return products(MODELS)


def test_every_imported_net_is_compared_with_its_source(listed: list[Product]) -> None:
    recipes = [recipe for product in listed for recipe in product.recipes]
    imported = [r for r in recipes if r.build is not None and not isinstance(r.spec, FusionSpec)]
    assert len(imported) == 13
    assert all(recipe.parity is not None for recipe in imported)


def test_the_products_are_those_of_the_manifest_in_its_order(listed: list[Product]) -> None:
    assert [product.entry(MODELS) for product in listed] == manifest.entries(MODELS)
    defaults = {product.task: product.name for product in listed if product.default}
    assert defaults == DEFAULTS


def test_a_trained_net_names_the_commands_that_make_it(listed: list[Product]) -> None:
    trained = [product for product in listed if product.recipes[0].build is None]
    assert [product.name for product in trained] == [
        *TRAINED_DETECTORS,
        *TRAINED_LANDMARKS,
        *TRAINED_EMBEDDERS,
    ]
    for product in trained:
        for recipe in product.recipes:
            if product.task == "detect":
                assert Path(recipe.how.split()[0]).exists()
                continue
            assert f"python -m training.train {product.name}" in recipe.how
            assert f"python -m training.export runs/{product.name}" in recipe.how


def test_a_trained_net_without_a_file_is_left_out(tmp_path: Path) -> None:
    names = {product.name for product in products(tmp_path)}
    assert names == {"cascade", "mtcnn", "mtcnn_thorough", "mesh", "mesh68", "sface", "dlib", "fused"}


def test_a_trained_net_has_the_files_that_the_manifest_lists(tmp_path: Path) -> None:
    write_store(tmp_path, ["siamese", "triplet"])
    (siamese, triplet) = sorted(
        (product for product in products(tmp_path) if product.recipes[0].build is None), key=lambda p: p.name
    )
    assert [recipe.file for recipe in siamese.recipes] == ["siamese.onnx", "siamese-head.onnx"]
    assert [recipe.file for recipe in triplet.recipes] == ["triplet.onnx"]
    manifest.write(tmp_path, [siamese.entry(tmp_path)])
    (tmp_path / "siamese-head.onnx").unlink()
    assert all(product.recipes[0].build is not None for product in products(tmp_path))
