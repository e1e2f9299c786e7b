"""Where nets for embeddings put people they were not trained on: a plot of dots, no faces.

    python -m training.studies.unseen --data cache/people --run runs/softmax --run runs/centerloss

Every dot is a picture of one of the people kept out of training, laid out by t-SNE from the net's unit
vectors; a colour is a person. Beside each plot stands the equal error rate on all pairs of these pictures.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy import ndarray

from training import systems, verification
from training.config import face_config_of
from training.data import gallery
from training.tsne import tsne


def chosen(labels: ndarray, people: int, pictures: int) -> ndarray:
    """The first pictures of so many people, those of whom there are most."""
    sizes = np.bincount(labels)
    return np.concatenate([np.flatnonzero(labels == p)[:pictures] for p in np.argsort(-sizes)[:people]])


def error(vectors: ndarray, labels: ndarray) -> float:
    """The equal error rate of the cosine on all pairs."""
    a, b = np.triu_indices(len(vectors), k=1)
    return verification.eer((vectors @ vectors.T)[a, b], labels[a] == labels[b])


def main(
    data: Annotated[Path, typer.Option(help="the folder that prepare_people wrote")],
    run: Annotated[list[Path], typer.Option(help="a training run's folder; several may be named")],
    out: Annotated[Path, typer.Option(help="the plot")] = Path("docs/images/recognition-unseen.png"),
    people: int = 10,
    pictures: int = 30,
) -> None:
    """Draws one plot a run, side by side."""
    unseen = gallery.load(data / "validation.tfrecord")
    take = chosen(unseen.labels, people, pictures)
    figure = Figure(figsize=(4.2 * len(run), 4.4), layout="constrained")
    colours = colormaps["tab10" if people <= 10 else "tab20"]
    for axes, folder in zip(np.atleast_1d(figure.subplots(1, len(run))), run, strict=True):
        config = face_config_of(folder)
        net = systems.trained_system(folder)
        vectors = systems.vectors(net, unseen.plain(config.size)[take], config.batch)
        rate = error(vectors, unseen.labels[take])
        at = tsne(vectors)
        _, who = np.unique(unseen.labels[take], return_inverse=True)
        axes.scatter(at[:, 0], at[:, 1], c=[colours(int(w)) for w in who], s=9)
        axes.set(xticks=[], yticks=[], title=f"{config.name}: equal error rate {rate:.3f}")
        print(f"{config.name:12} equal error rate {rate:.4f} on {len(take)} pictures of {people} people")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=90)


if __name__ == "__main__":
    typer.run(main)
