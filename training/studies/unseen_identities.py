"""Draw the embeddings of people that a net was not trained on.

    python -m training.studies.unseen_identities --data cache/people --run runs/softmax --run runs/centerloss

Each dot is an image of one of the validation people, each colour a person. t-SNE computes the layout from
the embeddings. The title has the equal error rate on all pairs of these images.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jaxtyping import Float32, Int
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy import ndarray
from sklearn.manifold import TSNE

from training.config.registry import config_of
from training.config.schema import EmbeddingConfig
from training.data.batches.embeddings import served_crops
from training.data.storage import identity_crops
from training.engine import embedding_objectives
from training.evaluation.user_errors import one_line_errors
from training.metrics import verification

PERPLEXITY = 20.0
"""Effective number of neighbours of a point in t-SNE."""


def select(labels: Int[ndarray, " n"], people: int, images: int) -> Int[ndarray, " m"]:
    """Return the indices of the first images of the people with the most images.

    Args:
        labels: the person of each image.
        people: number of people.
        images: maximum number of images per person.
    """
    most = np.argsort(-np.bincount(labels))[:people]
    return np.concatenate([np.flatnonzero(labels == person)[:images] for person in most])


def equal_error_rate(vectors: Float32[ndarray, "n d"], labels: Int[ndarray, " n"]) -> float:
    """Return the equal error rate of the cosine on all pairs of embeddings of length 1."""
    a, b = np.triu_indices(len(vectors), k=1)
    return verification.eer((vectors @ vectors.T)[a, b], labels[a] == labels[b])


def main(
    data: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="The folder that `prepare identities` wrote.")
    ],
    run: Annotated[list[Path], typer.Option(help="Folder of a training run. May be repeated.")],
    out: Annotated[Path, typer.Option(help="The PNG file of the plot.")] = Path(
        "docs/images/unseen-identities.png"
    ),
    people: Annotated[int, typer.Option(help="Number of people.")] = 10,
    images: Annotated[int, typer.Option(help="Maximum number of images per person.")] = 30,
) -> None:
    """Draw one plot for each run, side by side."""
    faces = identity_crops.load(data / "validation.tfrecord")
    index = select(faces.labels, people, images)
    labels = faces.labels[index]
    figure = Figure(figsize=(4.2 * len(run), 4.4), layout="constrained")
    colours = colormaps["tab10" if people <= 10 else "tab20"]
    for axes, folder in zip(np.atleast_1d(figure.subplots(1, len(run))), run, strict=True):
        config = config_of(folder, EmbeddingConfig)
        objective = embedding_objectives.build_trained(folder)
        crops = served_crops(faces, config.size)[index]
        vectors = embedding_objectives.embed(objective, crops, config.batch)
        eer = equal_error_rate(vectors, labels)
        plane = TSNE(perplexity=PERPLEXITY, init="pca", random_state=0).fit_transform(vectors)
        _, person = np.unique(labels, return_inverse=True)
        axes.scatter(plane[:, 0], plane[:, 1], c=[colours(int(p)) for p in person], s=9)
        axes.set(xticks=[], yticks=[], title=f"{config.name}: equal error rate {eer:.3f}")
        print(f"{config.name:12} equal error rate {eer:.4f} on {len(index)} images of {people} people")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=90)


if __name__ == "__main__":
    with one_line_errors():
        typer.run(main)
