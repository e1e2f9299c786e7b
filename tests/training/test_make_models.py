"""What `make models` does with a net that is near its source, and with one that is not."""

from collections.abc import Callable
from pathlib import Path

import keras
import pytest
import typer
from keras import layers
from typer.testing import CliRunner, Result

from app.vision.spec import EmbedderSpec, FusionSpec
from tests.fakes import COMMON
from training import make_models
from training.importers.packages import SourceError
from training.importers.parity import Parity
from training.recipes import Product, Recipe, products

SPEC = EmbedderSpec.model_validate(
    {"model": "tiny", "size": 8, "template": "arcface", "dimension": 2, "flip_average": False, **COMMON}
)


def tiny(cache: Path) -> keras.Model:
    image = keras.Input((8, 8, 3))
    return keras.Model(image, {"embedding": layers.Dense(2)(layers.GlobalAveragePooling2D()(image))})


Make = Callable[[Callable[[keras.Model, Path], Parity]], Result]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Runs the command on one model, whose net compares with its source as the function says."""
    app = typer.Typer()
    app.command()(make_models.main)

    def run(parity: Callable[[keras.Model, Path], Parity]) -> Result:
        recipe = Recipe("tiny.onnx", SPEC, tiny, parity, unit_length="embedding")
        monkeypatch.setattr(
            make_models, "products", lambda *given: [Product("tiny", "embed", True, (recipe,))]
        )
        return CliRunner().invoke(app, ["--models", str(tmp_path / "models"), "--cache", str(tmp_path)])

    return run


def test_a_net_near_its_source_is_written_and_the_difference_told(make: Make, tmp_path: Path) -> None:
    result = make(lambda net, cache: Parity("mtcnn 1.0.0", 1e-6, 1e-5))
    assert result.exit_code == 0
    assert (
        "tiny.onnx              Keras net differs from mtcnn 1.0.0 by at most 1e-06, limit 1e-05"
        in result.output
    )
    assert (tmp_path / "models" / "tiny.onnx").exists()


@pytest.mark.parametrize("difference", [2e-5, float("nan")])
def test_a_net_far_from_its_source_ends_the_command(make: Make, tmp_path: Path, difference: float) -> None:
    result = make(lambda net, cache: Parity("mtcnn 1.0.0", difference, 1e-5))
    assert result.exit_code == 1
    assert result.output == (
        f"tiny.onnx: the Keras net differs from mtcnn 1.0.0 by up to {difference:.2g}, limit 1e-05; "
        "nothing was written\n"
    )
    assert not (tmp_path / "models").exists()


def test_a_source_that_cannot_be_had_ends_the_command(make: Make) -> None:
    def unreachable(net: keras.Model, cache: Path) -> Parity:
        raise SourceError("net 1.0 cannot be downloaded: no route")

    result = make(unreachable)
    assert (result.exit_code, result.output) == (1, "tiny.onnx: net 1.0 cannot be downloaded: no route\n")


def test_every_imported_net_is_compared_with_its_source(tmp_path: Path) -> None:
    listed = [recipe for product in products(Path("models"), tmp_path) for recipe in product.recipes]
    imported = [r for r in listed if r.build is not None and not isinstance(r.spec, FusionSpec)]
    assert len(imported) == 11
    assert all(recipe.parity is not None for recipe in imported)
