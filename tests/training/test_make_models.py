"""`python -m training.make_models`: nets near their source and far from it, and models that stay."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
import typer
from keras import layers
from typer.testing import CliRunner, Result

from app.runtime.manifest import MANIFEST
from app.vision.spec import EmbedderSpec
from tests.fakes import COMMON
from training import make_models
from training.exporting import manifest
from training.exporting.recipes import Product, Recipe
from training.importers.packages import SourceError
from training.importers.parity import Parity

SPEC = EmbedderSpec.model_validate(
    {"model": "tiny", "size": 8, "template": "arcface", "dimension": 2, "flip_average": False, **COMMON}
)


def tiny(cache: Path) -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    return keras.Model(image, {"embedding": layers.Dense(2)(layers.GlobalAveragePooling2D()(image))})


def agrees(net: keras.Model, cache: Path) -> Parity:
    return Parity("mtcnn 1.0.0", 1e-6, 1e-5)


def recipe(
    name: str = "tiny", parity: Callable[[keras.Model, Path], Parity] = agrees, tolerance: float = 2e-5
) -> Recipe:
    spec = SPEC.model_copy(update={"model": name})
    return Recipe(f"{name}.onnx", spec, tiny, parity, unit_length="embedding", tolerance=tolerance)


Make = Callable[..., Result]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Runs the command on recipes, each of which is a product of its own; the first one is the default."""
    app = typer.Typer()
    app.command()(make_models.main)

    def run(*recipes: Recipe, only: str | None = None) -> Result:
        products = [Product(r.file.removesuffix(".onnx"), "embed", r is recipes[0], (r,)) for r in recipes]
        monkeypatch.setattr(make_models, "products", lambda models: products)
        options = ["--only", only] if only else []
        return CliRunner().invoke(
            app, ["--models", str(tmp_path / "models"), "--cache", str(tmp_path), *options]
        )

    return run


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with the models `first` and `second`."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("first", "second"):
        product = Product(name, "embed", name == "first", (recipe(name),))
        product.write(folder, folder)
        manifest.put(folder, product.entry(folder))
    return folder


@pytest.fixture
def models(store: Path, tmp_path: Path) -> Path:
    """A copy of that folder, on which `make` works."""
    return shutil.copytree(store, tmp_path / "models")


def entries(folder: Path) -> list[dict[str, Any]]:
    models: list[dict[str, Any]] = json.loads((folder / MANIFEST).read_text())["models"]
    return models


def test_a_net_near_its_source_is_written_and_the_difference_printed(make: Make, tmp_path: Path) -> None:
    result = make(recipe())
    assert result.exit_code == 0
    line = "tiny.onnx              Keras net differs from mtcnn 1.0.0 by at most 1e-06, limit 1e-05"
    assert line in result.output
    assert (tmp_path / "models" / "tiny.onnx").exists()
    (entry,) = entries(tmp_path / "models")
    assert (entry["name"], entry["task"], entry["default"]) == ("tiny", "embed", True)
    assert f"{entry['files'][0]['sha256'][:16]}, new" in result.output
    assert "## tiny" in (tmp_path / "models" / "README.md").read_text()
    again = make(recipe())
    assert f"{entry['files'][0]['sha256'][:16]}, as before" in again.output
    assert entries(tmp_path / "models") == [entry]


@pytest.mark.parametrize("difference", [2e-5, float("nan")])
def test_a_net_far_from_its_source_ends_the_command(make: Make, tmp_path: Path, difference: float) -> None:
    result = make(recipe(parity=lambda net, cache: Parity("mtcnn 1.0.0", difference, 1e-5)))
    assert result.exit_code == 1
    assert result.output == (
        f"tiny.onnx: the Keras net differs from mtcnn 1.0.0 by up to {difference:.2g}, limit 1e-05; "
        "nothing was written\n"
    )
    assert not (tmp_path / "models").exists()


def test_a_source_that_cannot_be_fetched_ends_the_command(make: Make) -> None:
    def unreachable(net: keras.Model, cache: Path) -> Parity:
        raise SourceError("net 1.0 cannot be downloaded: no route")

    result = make(recipe(parity=unreachable))
    assert (result.exit_code, result.output) == (1, "tiny.onnx: net 1.0 cannot be downloaded: no route\n")


def test_an_onnx_file_far_from_keras_ends_the_command(make: Make, tmp_path: Path) -> None:
    result = make(recipe(tolerance=-1.0))
    assert result.exit_code == 1
    assert "tiny.onnx: ONNX differs from Keras by" in result.output.splitlines()[-1]
    assert not (tmp_path / "models").exists()


def test_only_the_named_model_is_rebuilt(make: Make, models: Path) -> None:
    listed, first = entries(models), (models / "first.onnx").read_bytes()
    (models / "second.onnx").write_bytes(b"damaged")
    result = make(recipe("first"), recipe("second"), recipe("third"), only="second")
    assert result.exit_code == 0
    assert f"{'third':22} left out: it is not in {models} yet" in result.output
    assert (models / "first.onnx").read_bytes() == first
    assert entries(models) == listed


def test_a_model_that_training_exported_stays_in_the_manifest(make: Make, models: Path) -> None:
    listed = entries(models)
    assert make(recipe("first")).exit_code == 0
    assert entries(models) == listed


def test_a_trained_net_is_left_as_it_is(make: Make, models: Path) -> None:
    before = (models / "second.onnx").read_bytes()
    how = "`python -m training.train second` trains it"
    result = make(recipe("first"), Recipe("second.onnx", SPEC, None, how=how))
    assert result.exit_code == 0
    assert f"{'second.onnx':22} stays as it is: {how}" in result.output
    assert (models / "second.onnx").read_bytes() == before


def test_an_unknown_model_lists_those_there_are(make: Make, tmp_path: Path) -> None:
    result = make(recipe("first"), recipe("second"), only="third")
    assert (result.exit_code, result.output) == (
        1,
        "There is no model third to rebuild. The models are: first, second.\n",
    )
    assert manifest.entries(tmp_path / "models") == []
