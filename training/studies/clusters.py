"""How to find the faces of one person in many images: methods and thresholds, on people held out.

    python -m training.studies.clusters --data DATA

The people of each population are split into two halves at random, several times. A threshold is chosen on
sets of faces of the first halves, and judged on sets of the second halves, by the B-cubed F.

The study writes the tables and the plot of docs/experiments/clusters.md. docs/decisions/0041-clusters.md has
the conclusion.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from matplotlib import pyplot as plt
from numpy import ndarray
from sklearn.cluster import HDBSCAN
from tqdm import tqdm

from app.gallery.clustering import cluster
from app.pipeline.verifier import threshold_for
from app.vision.spec import ComparedSpec
from training.evaluation.embedded_populations import (
    CELEBA,
    LFW,
    VGGFACE2,
    EmbeddedPopulations,
    joined,
    load_all,
)
from training.evaluation.galleries import LabelledFaces, label_faces
from training.evaluation.populations import FaceVectors
from training.evaluation.user_errors import one_line_errors
from training.metrics.clusters import bcubed
from training.reports import markdown

PAGE, PLOT = Path("docs/experiments/clusters.md"), Path("docs/images/clusters.png")
MODELS = ("fused", "sface", "dlib")
FARS = (3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
FAR = 1e-3
MOST = 1_500
"""Faces of a set for the comparison of the methods. HDBSCAN needs minutes for more."""

Method = Callable[[ndarray, float], ndarray]
"""Returns the cluster of each vector for a threshold."""


@dataclass(frozen=True)
class FaceSet:
    """Some faces to cluster.

    Attributes:
        name: what it consists of.
        vectors: vectors of length 1 (n, d).
        people: number of the person of each face.
    """

    name: str
    vectors: ndarray
    people: ndarray


def main(
    data: Annotated[Path, typer.Option(help="The folder that holds the datasets.")],
    models: Annotated[Path, typer.Option(help="The model store.")] = Path("models"),
    cache: Annotated[Path, typer.Option(help="The folder of kept vectors.")] = Path("cache/vectors"),
    halves: Annotated[int, typer.Option(help="Number of splits of the people into halves.")] = 6,
) -> None:
    """Print the tables, and write them and the plot."""
    with one_line_errors():
        loaded = load_all(data, models, cache, MODELS)
        curves = {one.embedder.spec.model: _curves(one, halves) for one in loaded}
        write("chosen", chosen(curves))
        write("held-out", held_out(curves[MODELS[0]]))
        plot(curves[MODELS[0]])
        write("methods", methods(loaded[0], halves))
        write("time", durations(loaded[0]))


def write(mark: str, text: str) -> None:
    """Print a table and write it into the page."""
    print(f"{mark}\n\n{text}\n", flush=True)
    markdown.fill(PAGE, mark, markdown.dated(text))


def average_linkage(vectors: ndarray, threshold: float) -> ndarray:
    """Return the clusters that the service finds; each face is in an image of its own."""
    return cluster(vectors, np.arange(len(vectors)), threshold)


def connected_components(vectors: ndarray, threshold: float) -> ndarray:
    """Return the connected components of the graph of all pairs that reach the threshold."""
    labels = np.arange(len(vectors))
    near = vectors @ vectors.T >= threshold
    while True:
        lowest = np.where(near, labels, len(labels)).min(axis=1)
        if (lowest == labels).all():
            return labels
        labels = lowest


def chinese_whispers(vectors: ndarray, threshold: float) -> ndarray:
    """Return the clusters of Chinese whispers (Biemann 2006) after 30 rounds.

    In each round each face, in random order, takes the label with the greatest sum of similarities among its
    neighbours, the faces that reach the threshold.
    """
    rng, n = np.random.default_rng(0), len(vectors)
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -1)
    neighbours = [np.flatnonzero(row >= threshold) for row in similarity]
    labels = np.arange(n)
    for _ in range(30):
        for face in rng.permutation(n):
            near = neighbours[face]
            if len(near):
                sums = np.bincount(labels[near], weights=similarity[face, near], minlength=n)
                labels[face] = sums.argmax()
    return labels


def hdbscan(vectors: ndarray, threshold: float) -> ndarray:
    """Return the clusters of HDBSCAN, which has no threshold; its noise are faces that are alone."""
    return HDBSCAN(min_cluster_size=2, copy=True).fit_predict(vectors)


METHODS: dict[str, Method] = {
    "average linkage": average_linkage,
    "Chinese whispers": chinese_whispers,
    "connected components": connected_components,
    "HDBSCAN": hdbscan,
}


def chosen(curves: dict[str, tuple[list[dict[str, ndarray]], ...]]) -> str:
    """Return a Markdown table of F by threshold: the mean and the worst set, on both halves."""
    rows = []
    for model, by_half in curves.items():
        for title, sets in zip(("first", "second"), by_half, strict=True):
            f = np.array(list(_means(sets).values()))
            cells = [
                f"{mean:.3f} ({low:.3f})" for mean, low in zip(f.mean(axis=0), f.min(axis=0), strict=True)
            ]
            rows.append([f"`{model}`", title, *cells])
    return markdown.table(["model", "halves", *(f"FAR {far:g}" for far in FARS)], rows, left=2)


def held_out(by_half: tuple[list[dict[str, ndarray]], ...]) -> str:
    """Return a Markdown table of F of each set of the second halves, by threshold and in hindsight."""
    rows, shown = [], (1e-2, 3e-3, 1e-3, 3e-4, 1e-4)
    for name in by_half[1][0]:
        f = np.array([one[name] for one in by_half[1]])
        at = f[:, FARS.index(FAR)]
        cells = [f"{f[:, FARS.index(far)].mean():.3f}" for far in shown]
        rows.append([name, *cells, f"{at.min():.3f}", f"{f.max(axis=1).mean():.3f}"])
    head = ["faces", *(f"FAR {far:g}" for far in shown), f"lowest at FAR {FAR:g}", "best FAR in hindsight"]
    return markdown.table(head, rows)


def methods(one: EmbeddedPopulations, halves: int) -> str:
    """Return a Markdown table of the methods, each with the FAR that is best on the first halves."""
    found: dict[str, list[list[dict[str, ndarray]]]] = {name: [[], []] for name in METHODS}
    for pair in tqdm(list(_halved(one, halves))[:2], disable=None):
        for half, faces in enumerate(pair):
            sets = [s for s in _sets(faces, half) if len(s.vectors) <= MOST]
            for name, method in METHODS.items():
                fars = FARS[:1] if method is hdbscan else FARS
                found[name][half].append({s.name: _f(method, s, one.embedder.spec, fars) for s in sets})
    rows = []
    for name, (first, second) in found.items():
        place = int(np.array(list(_means(first).values())).mean(axis=0).argmax())
        judged = _means(second)
        values = np.array([f[place] for f in judged.values()])
        best = np.mean([f.max() for f in judged.values()])
        far = "" if name == "HDBSCAN" else f"{FARS[place]:g}"
        rows.append(
            [name, far, *(f"{v:.3f}" for v in (values.mean(), values.min(), judged[_MAIN][place], best))]
        )
    head = ["method", "FAR", "mean F", "lowest F of a set", _MAIN, "best FAR of each set in hindsight"]
    return markdown.table(head, rows)


def durations(one: EmbeddedPopulations) -> str:
    """Return a Markdown table of the time that clustering takes."""
    spec = one.embedder.spec
    faces = label_faces([joined(one.populations)])
    rng = np.random.default_rng(0)
    rows = []
    for n in (1_000, 3_000, 10_000):
        some = faces.vectors[rng.permutation(len(faces.people))[:n]]
        alike = faces.vectors[:1] + rng.normal(0, 0.025, (n, some.shape[1])).astype(np.float32)
        alike /= np.linalg.norm(alike, axis=1, keepdims=True)
        cells = []
        for vectors, images in (
            (some, np.arange(n)),
            (some, np.arange(n) // 5),
            (alike, np.arange(n)),
            (np.repeat(some[:1], n, axis=0), np.arange(n)),
        ):
            begin = time.perf_counter()
            cluster(vectors, images, threshold_for(spec, FAR))
            cells.append(f"{time.perf_counter() - begin:.2f} s")
        rows.append([f"{n:,}", *cells])
    head = [
        "faces",
        "all three, an image each",
        "all three, 5 in an image",
        "one person",
        "copies of one face",
    ]
    return markdown.table(head, rows)


def plot(by_half: tuple[list[dict[str, ndarray]], ...]) -> None:
    """Draw F over the FAR of the threshold, for each set of the second halves."""
    figure, axes = plt.subplots(figsize=(7, 4.4), layout="constrained")
    for i, (name, f) in enumerate(_means(by_half[1]).items()):
        style = "-" if i < 10 else "--"  # there are ten colours
        axes.plot(FARS, f, style, marker="o", markersize=3, label=name)
    axes.axvline(FAR, color="k", linewidth=0.8)
    axes.set(xscale="log", xlabel="FAR of the threshold", ylabel="B-cubed F", ylim=(0.8, 1.0))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PLOT, dpi=120)


_MAIN = "CelebA, 60 people x 12"


def _sets(faces: dict[str, LabelledFaces], seed: int) -> Iterator[FaceSet]:
    """Yield the sets of faces of one half of the people."""
    rng = np.random.default_rng(seed)

    def some(name: str, people: int, each: int) -> tuple[ndarray, ndarray]:
        one = faces[name]
        sizes = np.bincount(one.people)
        drawn = rng.permutation(np.flatnonzero(sizes >= each))[:people]
        rows = [rng.permutation(np.flatnonzero(one.people == person))[: each or None] for person in drawn]
        place = np.concatenate(rows)
        return one.vectors[place], one.people[place]

    def every(name: str) -> tuple[ndarray, ndarray]:
        return faces[name].vectors, faces[name].people

    def together(*parts: tuple[ndarray, ndarray]) -> tuple[ndarray, ndarray]:
        people = [np.unique(p, return_inverse=True)[1] + 10_000 * i for i, (_, p) in enumerate(parts)]
        return np.concatenate([v for v, _ in parts]), np.concatenate(people)

    yield FaceSet(_MAIN, *some(CELEBA, 60, 12))
    yield FaceSet("VGGFace2, 30 people x 12", *some(VGGFACE2, 30, 12))
    yield FaceSet(
        "CelebA and VGGFace2, 30 people x 12 each", *together(some(CELEBA, 30, 12), some(VGGFACE2, 30, 12))
    )
    yield FaceSet("CelebA, 10 people x 5", *some(CELEBA, 10, 5))
    yield FaceSet("VGGFace2, 10 people x 5", *some(VGGFACE2, 10, 5))
    yield FaceSet("CelebA, 60 people x 3", *some(CELEBA, 60, 3))
    yield FaceSet("CelebA, 90 people x 1", *some(CELEBA, 90, 1))
    yield FaceSet("LFW, all faces", *every(LFW))
    yield FaceSet("CelebA 20 people x 12, LFW 300 faces", *together(some(CELEBA, 20, 12), some(LFW, 300, 1)))
    yield FaceSet(
        "VGGFace2 5 people x 60, LFW 200 faces", *together(some(VGGFACE2, 5, 60), some(LFW, 200, 1))
    )
    yield FaceSet("CelebA, all faces", *every(CELEBA))
    yield FaceSet("VGGFace2, all faces", *every(VGGFACE2))
    yield FaceSet("all faces of the three", *together(every(LFW), every(CELEBA), every(VGGFACE2)))


def _halved(
    one: EmbeddedPopulations, halves: int
) -> Iterator[tuple[dict[str, LabelledFaces], dict[str, LabelledFaces]]]:
    """Yield the faces of both halves of the people of each population."""
    names = np.unique(joined(one.populations).people)
    for seed in range(halves):
        first = np.random.default_rng(seed).permutation(names)[: len(names) // 2]
        pair: tuple[dict[str, LabelledFaces], dict[str, LabelledFaces]] = {}, {}
        for name, faces in one.populations.items():
            inside = np.isin(faces.people, first)
            for half, rows in zip(pair, (inside, ~inside), strict=True):
                half[name] = label_faces([FaceVectors(faces.vectors[rows], faces.people[rows])])
        yield pair


def _curves(one: EmbeddedPopulations, halves: int) -> tuple[list[dict[str, ndarray]], ...]:
    """Return F by FAR of each set, for the first and for the second halves."""
    found: tuple[list[dict[str, ndarray]], ...] = [], []
    for pair in tqdm(_halved(one, halves), total=halves, disable=None):
        for half, (faces, out) in enumerate(zip(pair, found, strict=True)):
            out.append({s.name: _f(average_linkage, s, one.embedder.spec, FARS) for s in _sets(faces, half)})
    return found


def _f(method: Method, faces: FaceSet, spec: ComparedSpec, fars: Sequence[float]) -> ndarray:
    """Return the B-cubed F of a method for the threshold of each FAR."""
    return np.array([bcubed(method(faces.vectors, threshold_for(spec, far)), faces.people).f for far in fars])


def _means(sets: Sequence[dict[str, ndarray]]) -> dict[str, ndarray]:
    """Return F of each set by FAR, as the mean over the splits."""
    return {name: np.mean([one[name] for one in sets], axis=0) for name in sets[0]}


if __name__ == "__main__":
    typer.run(main)
