"""What the model folder consists of: a product is a named model, a recipe is one of its ONNX files."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras

from app.runtime.manifest import int8_name
from app.vision.spec import UNSPECIFIED_LICENCE, ModelSpec, Task
from training.exporting.manifest import Entry, describe
from training.exporting.onnx import ParityError, export, serving_net
from training.importers.parity import Parity


@dataclass(frozen=True)
class Recipe:
    """One ONNX file: its spec, and how its Keras net is built.

    Attributes:
        file: name of the ONNX file.
        spec: written into the file.
        build: cache folder to the net (RGB 0..255 to named outputs); None if the file cannot be built here.
        parity: compares an imported net with its source implementation.
        unit_length: name of an output that is normalised to length 1.
        half: store the weights in half precision if the outputs differ by at most `tolerance` then.
        tolerance: maximum absolute difference between ONNX and Keras.
        int8: whether an int8 file is made of the file as well, from stored activation ranges.
        how: for a file that cannot be built here, the commands that make it.
    """

    file: str
    spec: ModelSpec
    build: Callable[[Path], keras.Model] | None
    parity: Callable[[keras.Model, Path], Parity] | None = None
    unit_length: str | None = None
    half: bool = False
    tolerance: float = 2e-5
    int8: bool = False
    how: str = ""

    def net(self, cache: Path) -> keras.Model:
        """Return the Keras net; published files are kept in the folder `cache`.

        Raises:
            ValueError: the net cannot be built here.
            SourceError: the published file cannot be fetched, or is not the expected one.
        """
        if self.build is None:
            raise ValueError(f"{self.file} cannot be built here: {self.how}.")
        return self.build(cache)

    def write(self, net: keras.Model, path: Path, golden: Path) -> float:
        """Write the net as ONNX with its golden file.

        Returns:
            The largest absolute difference between ONNX and Keras.

        Raises:
            ParityError: the difference exceeds `tolerance`; nothing is written.
        """
        if len(net.input_shape) == 4:
            net = serving_net(net, self.unit_length)
        try:
            return export(net, self.spec, path, golden, half=self.half, tolerance=self.tolerance)
        except ParityError:
            if not self.half:
                raise
        # Large outputs, such as those of a net that is hardly trained, need single precision.
        return export(net, self.spec, path, golden, tolerance=self.tolerance)


@dataclass(frozen=True)
class Product:
    """A named model: its task, its files, the models it combines, and its face mesh, if any.

    `weights` is the SHA-256 of the weights of the runs of a trained model. Exports of one run may differ in
    their files.
    """

    name: str
    task: Task
    default: bool
    recipes: tuple[Recipe, ...]
    parts: tuple[str, ...] = ()
    mesh: str | None = None
    weights: str | None = None

    def write(self, models: Path, cache: Path) -> dict[str, float]:
        """Build all nets, and write their files and golden files, or none of them.

        Args:
            models: the model folder.
            cache: where published files are kept.

        Returns:
            The largest absolute difference between ONNX and Keras of each file.

        Raises:
            ValueError: a net cannot be built here.
            ParityError: the difference of a net exceeds its tolerance.
        """
        with _draft(models) as draft:
            differences = {
                recipe.file: recipe.write(
                    recipe.net(cache), draft / recipe.file, golden_path(draft, recipe.file)
                )
                for recipe in self.recipes
            }
            golden_path(models, "").parent.mkdir(exist_ok=True)
            for file in differences:
                golden_path(draft, file).replace(golden_path(models, file))
                (draft / file).replace(models / file)
        return differences

    def entry(self, models: Path) -> Entry:
        """Return the manifest's entry; all files exist in the folder `models`."""
        return {
            "name": self.name,
            "task": self.task,
            "default": self.default,
            **({"parts": list(self.parts)} if self.parts else {}),
            **({"mesh": self.mesh} if self.mesh else {}),
            **({"research_only": True} if any(r.spec.research_only for r in self.recipes) else {}),
            **({"unlicensed": True} if any(_is_unlicensed(r.spec) for r in self.recipes) else {}),
            **({"weights": self.weights} if self.weights else {}),
            "files": [describe(models / recipe.file) for recipe in self.recipes],
            **({"int8": [describe(path) for path in int8]} if (int8 := self._int8_files(models)) else {}),
        }

    def _int8_files(self, models: Path) -> list[Path]:
        paths = (models / int8_name(recipe.file) for recipe in self.recipes if recipe.int8)
        return [path for path in paths if path.exists()]

    def complete(self, models: Path) -> bool:
        """Return whether all files exist in the folder `models`."""
        return all((models / recipe.file).exists() for recipe in self.recipes)


@contextmanager
def _draft(models: Path) -> Iterator[Path]:
    """Make a folder for files that are then moved to a model folder.

    It is in the model folder, so that a full disk or a kill leaves no half-written model file.

    Yields:
        The folder. It is removed at the end, and with it a new model folder into which nothing was moved.
    """
    made = not models.exists()
    models.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".draft-", dir=models) as folder:
            yield Path(folder)
    finally:
        if made and not any(models.iterdir()):
            models.rmdir()


def golden_path(models: Path, file: str) -> Path:
    """Return the path of the golden file of an ONNX file."""
    return models / "golden" / f"{Path(file).stem}.npz"


def _is_unlicensed(spec: ModelSpec) -> bool:
    return spec.licence == UNSPECIFIED_LICENCE
