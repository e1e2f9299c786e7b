"""The table and the jaw of `mesh68`: which vertices of the face mesh stand for iBUG's 68 points.

    python -m training.studies.mesh_points --data DATA

For each of the points 17 to 67, the study tries the vertices nearest to the label, and all means of two or
three of them, on the training parts of 300-W. It takes the smallest mean distance to the labels; a mean of
two must be better than one vertex by 1%, a mean of three by 2%. Left and right get mirrored vertices. For the
jaw it tries several offsets. It prints the table for `app/vision/mesh_tables.py` and the NME by region on the
training parts and on the test part, which nothing was chosen on. Nothing is fitted but the table and the
offset.
"""

import itertools
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jaxtyping import Float32
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.landmarks import MeshLandmarker
from app.runtime.timing import Timing
from app.vision import mesh
from app.vision.points import MIRROR
from app.vision.pyramid import ImagePyramid
from training.data.datasets.landmark_sets import READERS, Sample
from training.evaluation.landmarks import detect_five, load_detector, load_session
from training.evaluation.user_errors import one_line_errors
from training.metrics.landmarks import interocular_distance, nme_by_region
from training.reports import markdown

INNER = range(17, 68)
NEAR, NEAR_OF_THREE = 24, 14
"""Number of vertices nearest to a label that are tried, alone and in pairs, and in means of three."""

GAINS = {2: 1.01, 3: 1.02}
"""Factor on the error of a mean of two or three vertices."""

OFFSETS = (0.0, 0.02, 0.03, 0.041, 0.05, 0.06)

Table = dict[int, tuple[int, ...]]
"""The vertices of each point."""

Meshes = Float32[ndarray, "n 468 3"]
Labels = Float32[ndarray, "n 68 2"]


def main(
    data: Annotated[Path, typer.Option(help="The folder that holds the datasets.")],
    models: Annotated[Path, typer.Option(help="The model folder.")] = Path("models"),
) -> None:
    """Print the table of `mesh68` and its errors."""
    with one_line_errors():
        samples = READERS["300w"](data)
        detector, landmarker = load_detector(models), MeshLandmarker(load_session(models, "mesh"))
        found: dict[str, list[tuple[ndarray, ndarray]]] = {"train": [], "test": []}
        for sample in tqdm(samples, unit="image", disable=None, leave=False):
            picture = ImagePyramid(sample.pixels())
            five = detect_five(detector, picture, sample.points)
            if five is not None and _is_labelled(sample):
                found[sample.split].append((landmarker.meshes(picture, five, Timing())[0], sample.points))
        parts = {split: tuple(map(np.stack, zip(*rows, strict=True))) for split, rows in found.items()}
        meshes, labels = parts["train"]
        table = choose(meshes, labels)
        print("\n".join(f"    {table[point]},  # {point}" for point in INNER))
        rows = []
        for offset, (split, (meshes, labels)) in itertools.product(OFFSETS, parts.items()):
            points = mesh.ibug68(meshes, offset)
            regions = nme_by_region(points, labels, "ibug68")
            rows.append(
                [f"{offset:g}", split, *(f"{100 * float(errors.mean()):.2f}%" for errors in regions.values())]
            )
        print(markdown.table(["offset of the chin", "part", *regions], rows))


def choose(meshes: Meshes, labels: Labels) -> Table:
    """Return the vertices whose mean has the smallest distance to each of the points 17 to 67."""
    flat, scale = meshes[:, :, :2], interocular_distance(labels, "ibug68")
    across, opposite = MIRROR["mesh468"], MIRROR["ibug68"]
    table: Table = {}
    for point in INNER:
        other = int(opposite[point])
        if other in table:
            table[point] = tuple(int(across[vertex]) for vertex in table[other])
            continue

        def error(vertices: tuple[int, ...], point: int = point, other: int = other) -> float:
            one = flat[:, list(vertices)].mean(axis=1) - labels[:, point]
            two = flat[:, across[list(vertices)]].mean(axis=1) - labels[:, other]
            distances = np.linalg.norm(one, axis=1) + np.linalg.norm(two, axis=1)
            return float((distances / scale).mean()) * GAINS.get(len(vertices), 1)

        distances = np.linalg.norm(flat - labels[:, point, None], axis=2) / scale[:, None]
        near = [int(vertex) for vertex in np.argsort(distances.mean(axis=0))[:NEAR]]
        tried = itertools.chain(
            ((vertex,) for vertex in near),
            itertools.combinations(near, 2),
            itertools.combinations(near[:NEAR_OF_THREE], 3),
        )
        table[point] = min(tried, key=error)
    return table


def _is_labelled(sample: Sample) -> bool:
    return sample.scheme == "ibug68" and bool(np.isfinite(sample.points).all())


if __name__ == "__main__":
    typer.run(main)
