"""How similar the faces in a photograph and in a copy of it are, against two photographs of one person.

    python -m training.studies.near_duplicates --data DATA

A gallery reports a face that it already has. A copy of a photograph is seldom equal byte by byte: it was
compressed again, resized or cropped. The study embeds photographs and such copies, and compares the
similarities with those of all pairs of different photographs of one person. It writes a table into
docs/experiments/open-set.md.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from jaxtyping import Float32
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.analyzer import Analyzer
from app.pipeline.calibration import Pairs
from app.pipeline.detector import DetectOptions
from app.pipeline.open_set import near_duplicate_threshold
from app.runtime import model_store
from app.runtime.manifest import models_for
from app.runtime.timing import Timing
from app.vision.pyramid import ImagePyramid
from training.data.datasets.images import read_image
from training.evaluation.populations import Population, pairs_of, read_populations
from training.evaluation.user_errors import one_line_errors
from training.reports import markdown
from training.studies.open_set import MODELS, PAGE


def jpeg(image: ndarray, quality: int) -> ndarray:
    """Return the image after compression as JPEG."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


def resized(image: ndarray, factor: float) -> ndarray:
    """Return the image with its sides multiplied by a factor."""
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=method)


def cropped(image: ndarray, margin: float) -> ndarray:
    """Return the image without a margin on each side, in units of the side."""
    height, width = image.shape[:2]
    top, left = int(margin * height), int(margin * width)
    return image[top : height - top, left : width - left]


COPIES: Mapping[str, Callable[[ndarray], ndarray]] = {
    "JPEG, quality 95": lambda image: jpeg(image, 95),
    "JPEG, quality 75": lambda image: jpeg(image, 75),
    "JPEG, quality 50": lambda image: jpeg(image, 50),
    "size 0.5": lambda image: resized(image, 0.5),
    "size 0.75": lambda image: resized(image, 0.75),
    "size 2": lambda image: resized(image, 2),
    "cropped by 5% on each side": lambda image: cropped(image, 0.05),
    "cropped by 10% on each side": lambda image: cropped(image, 0.1),
    "size 0.75, cropped by 5%, JPEG, quality 75": lambda image: jpeg(cropped(resized(image, 0.75), 0.05), 75),
}
"""Ways to copy a photograph."""


def main(
    data: Annotated[Path, typer.Option(help="The folder that holds the datasets.")],
    models: Annotated[Path, typer.Option(help="The model store.")] = Path("models"),
    cache: Annotated[Path, typer.Option(help="The folder of kept vectors.")] = Path("cache/vectors"),
    photographs: Annotated[int, typer.Option(help="Number of photographs of each dataset.")] = 60,
) -> None:
    """Print the tables, and write them to the page."""
    with one_line_errors():
        names = models_for(models, {"detect": None})
        for model in MODELS:
            names |= models_for(models, {"embed": model})
        analyzer = Analyzer(model_store.load(models, "cpu", names=names))
        populations = read_populations(data)
        found = copies(analyzer, populations, photographs)
        pairs = {
            (model, one.name): pairs_of(analyzer, model, one, cache)
            for model in MODELS
            for one in populations
        }
        tables = [copies_table(analyzer, found), photographs_table(analyzer, pairs)]
        markdown.fill(PAGE, "near-duplicates", markdown.dated("\n\n".join(tables)))
        print("\n\n".join(tables))


def copies(
    analyzer: Analyzer, populations: Sequence[Population], photographs: int
) -> dict[tuple[str, str], list[float]]:
    """Return the similarities of photographs to their copies by embedder and way to copy.

    A copy without a detected face has the similarity -1; a photograph without one is left out.
    """
    rng, found = np.random.default_rng(0), dict[tuple[str, str], list[float]]()
    chosen = [
        one.images[i].path for one in populations for i in rng.permutation(len(one.images))[:photographs]
    ]
    for path in tqdm(chosen, unit="photograph", disable=None):
        image = read_image(path)
        own = embed(analyzer, image)
        for way, copy in COPIES.items() if own else ():
            vectors = embed(analyzer, np.ascontiguousarray(copy(image)))
            for model in MODELS:
                similarity = float(own[model] @ vectors[model]) if vectors else -1.0
                found.setdefault((model, way), []).append(similarity)
    return found


def embed(analyzer: Analyzer, image: ndarray) -> dict[str, Float32[ndarray, " d"]]:
    """Return the vector of the largest face by embedder; empty if there is no face."""
    picture = ImagePyramid(image)
    face = analyzer.detector(None).detect(picture, DetectOptions(), Timing())
    face = face.largest(picture.width, picture.height)
    vectors = {}
    for model in MODELS if len(face) else ():
        embedder = analyzer.embedder(model)
        points = analyzer.align(picture, face.points[:1], embedder, Timing())
        vectors[model] = embedder.represent(picture, points)[0]
    return vectors


def copies_table(analyzer: Analyzer, found: Mapping[tuple[str, str], Sequence[float]]) -> str:
    """Return a Markdown table of the similarities of copies, and of the share that the threshold finds."""
    rows = []
    for way in COPIES:
        cells = []
        for model in MODELS:
            values = np.array(found[model, way])
            threshold = near_duplicate_threshold(analyzer.embedder(model).spec)
            low, middle = np.quantile(values, [0.05, 0.5])
            cells.append(f"{low:.3f}, {middle:.3f}, {(values >= threshold).mean():.0%}")
        rows.append([way, *cells])
    return markdown.table(["copy", *(f"`{model}`" for model in MODELS)], rows)


def photographs_table(analyzer: Analyzer, pairs: Mapping[tuple[str, str], Pairs]) -> str:
    """Return a Markdown table of the pairs of images of one person that are taken for near duplicates."""
    rows = []
    for (model, name), one in pairs.items():
        threshold = near_duplicate_threshold(analyzer.embedder(model).spec)
        genuine = one.genuine[~np.isnan(one.genuine)]
        taken = int((genuine >= threshold).sum())
        share = f"{100 * taken / len(genuine):.2f}%"
        cells = f"{threshold:.4f}", f"{len(genuine):,}", f"{np.median(genuine):.3f}", str(taken), share
        rows.append([f"`{model}`", name, *cells])
    head = ["model", "people", "threshold", "pairs", "median", "taken for copies", "share"]
    return markdown.table(head, rows, left=2)


if __name__ == "__main__":
    typer.run(main)
