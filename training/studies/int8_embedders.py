"""Compare the embedders in int8 with float: time, vectors, verification.

    python -m training.studies.int8_embedders --data DATA

Writes the table of docs/experiments/int8.md. The time is that of the nets for one aligned face, without
alignment; both precisions run in turn in one process. The cosines are those between the vectors of the same
faces. LFW's development pairs and CelebA's people are measured as by `training.evaluate`.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jaxtyping import Float32
from numpy import ndarray

from app.pipeline.analyzer import Analyzer
from app.pipeline.embedder import Embedder, FacePoints
from app.runtime import model_store
from app.runtime.manifest import models_for
from app.runtime.model_store import LoadOptions
from app.runtime.precision import Precision
from app.vision import align
from app.vision.pyramid import ImagePyramid
from training.data.datasets.identities import read_people
from training.data.datasets.lfw import Pair, read_pairs
from training.evaluation import rates, verification
from training.evaluation.face_vectors import LocatedFaces, locate, represent
from training.evaluation.user_errors import one_line_errors
from training.reports.markdown import dated, fill, table

PAGE = Path("docs/experiments/int8.md")
PRECISIONS: tuple[Precision, ...] = ("float", "int8")
MODELS = ("fused", "sface", "dlib")
FAR = 1e-3
_PEOPLE_IMAGES = 8
_PAIRS = "pairsDevTest.txt"


def medians(embedders: Mapping[Precision, Embedder], rounds: int) -> dict[Precision, float]:
    """Return the median milliseconds of each embedder for one face whose points are those of the template.

    The image has the size of the crop, so that the alignment takes little.
    """
    picture = ImagePyramid(np.random.default_rng(0).integers(0, 256, (150, 150, 3), np.uint8))
    five = align.template("dlib", 150)[None].astype(np.float32)
    points = FacePoints(five, five)
    times: dict[Precision, list[float]] = {precision: [] for precision in embedders}
    for _ in range(rounds):
        for precision, embedder in embedders.items():
            embedder(picture, points)
            start = time.perf_counter()
            embedder(picture, points)
            times[precision].append((time.perf_counter() - start) * 1000)
    return {precision: float(np.median(values[rounds // 10 :])) for precision, values in times.items()}


def cosines(a: Float32[ndarray, "n d"], b: Float32[ndarray, "n d"]) -> list[str]:
    """Return mean, 1st percentile and minimum of the cosines of vectors of length 1; NaN is left out."""
    values = (a.astype(np.float64) * b).sum(axis=1)
    values = values[~np.isnan(values)]
    return [f"{value:.4f}" for value in (values.mean(), np.percentile(values, 1), values.min())]


def rows_of(
    analyzers: Mapping[Precision, Analyzer],
    name: str,
    lfw: tuple[list[Pair], LocatedFaces],
    people: LocatedFaces,
    rounds: int,
) -> list[list[str]]:
    """Return the rows of an embedder: float, then int8."""
    embedders = {precision: owner.embedder(name) for precision, owner in analyzers.items()}
    taken = medians(embedders, rounds)
    aligner = analyzers["float"]
    vectors = {precision: represent(aligner, embedder, lfw[1]) for precision, embedder in embedders.items()}
    rows = []
    for precision, embedder in embedders.items():
        pairs = verification.measure(aligner, embedder, *lfw)
        others = rates.measure_rates(aligner, embedder, people)
        same = cosines(vectors["float"], vectors["int8"]) if precision == "int8" else ["", "", ""]
        rows.append(
            [
                f"`{embedder.spec.model}`",
                precision,
                f"{taken['float'] / taken[precision]:.2f}",
                *same,
                f"{pairs.accuracy:.4f}",
                f"{next(c.tar for c in pairs.at_far if c.far == FAR):.3f}",
                f"{others.tar_at_far[f'{FAR:g}']:.4f}",
            ]
        )
    return rows


def main(
    data: Annotated[Path, typer.Option(exists=True, file_okay=False, help="The folder of the datasets.")],
    models: Annotated[Path, typer.Option(help="The model folder.")] = Path("models"),
    threads: Annotated[int, typer.Option(help="Number of CPU threads; 0 uses all cores.")] = 0,
    rounds: Annotated[int, typer.Option(help="Number of timed calls per embedder.")] = 200,
    page: Annotated[Path, typer.Option(help="The page whose table is written.")] = PAGE,
) -> None:
    """Measure `fused` and its parts in both precisions."""
    with one_line_errors():
        names = models_for(models, {"detect": None}) | frozenset(MODELS)
        analyzers = {
            precision: Analyzer(
                model_store.load(models, "cpu", names, LoadOptions(threads=threads, precision=precision))
            )
            for precision in PRECISIONS
        }
        pairs = read_pairs(data / "lfw", _PAIRS)
        located = verification.locate_pairs(analyzers["float"], pairs)
        images = rates.limit_per_person(
            read_people([f"folders:{data / 'identities' / 'celeba'}"]), _PEOPLE_IMAGES
        )
        people = locate(analyzers["float"], [i.path for i in images], [i.person for i in images])
        rows = []
        for name in MODELS:
            rows += rows_of(analyzers, name, (pairs, located), people, rounds)
        head = ["embedder", "precision", "speed", "mean cosine", "1st percentile", "minimum"]
        head += ["LFW accuracy", "LFW TAR", "CelebA TAR"]
        text = dated(table(head, rows, left=2))
        print(text)
        fill(page, "int8-embedders", text)


if __name__ == "__main__":
    typer.run(main)
