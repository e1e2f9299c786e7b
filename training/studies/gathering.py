"""How features gather round their centers as the weight of the center loss grows: two numbers a face, drawn.

    python -m training.studies.gathering --data cache/people

The picture of Wen et al. (2016), with the faces of a few people in place of digits. The small net, with
features of two numbers, is trained once for each weight, from the same random weights, and its features of
the faces it was trained on are drawn as dots. Beside each picture stands the mean distance to the own center
over the mean distance between centers.
"""

from pathlib import Path
from typing import Annotated

import keras
import numpy as np
import typer
from keras import layers
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy import ndarray

from training import systems
from training.config import Augmentation, FaceConfig
from training.data import gallery
from training.data.face_batches import FaceBatches
from training.data.gallery import Gallery
from training.models.small_face import small_face
from training.page import fill, measured, table
from training.schedule import optimizer

WEIGHTS = (0.0, 0.01, 0.1, 1.0)
CONFIG = FaceConfig(
    name="gathering",
    system="softmax",
    size=32,
    template="arcface",
    dimension=2,
    epochs=40,
    batch=40,
    learning_rate=3e-3,
    final_learning_rate=1e-4,
    warmup_epochs=2,
    augment=Augmentation(flip_share=0.5, shift=0.03, light_share=0.5, contrast=0.3),
)


def net() -> keras.Model:
    """The small net with two features, in their own scale: the loss decides how far apart they lie."""
    whole = small_face(CONFIG.size, 16, dropout=0.0)
    return keras.Model(whole.input, layers.Dense(2, use_bias=False, name="plane")(whole.output))


def few(faces: Gallery, people: int) -> Gallery:
    """The faces of so many people, those with most pictures, numbered from 0."""
    keep = np.argsort(-np.bincount(faces.labels), kind="stable")[:people]
    index = np.flatnonzero(np.isin(faces.labels, keep))
    labels = np.searchsorted(np.sort(keep), faces.labels[index])
    return Gallery(faces.images[index], labels, tuple(faces.addresses[i] for i in index), faces.span)


def features(faces: Gallery, weight: float) -> ndarray:
    """The trained net's two numbers (n, 2) of every face."""
    keras.utils.set_random_seed(CONFIG.seed)
    config = CONFIG.model_copy(update={"center_weight": weight})
    system, batches = systems.build(net(), config, faces.people), FaceBatches(faces, config)
    system.model.compile(optimizer(config, batches.steps), system.loss, metrics=system.metrics)
    for epoch in range(config.epochs):
        for inputs, truth in batches.epoch(epoch):
            system.model.train_on_batch(inputs, truth)
    return np.asarray(system.embed.predict(faces.plain(config.size), verbose=0))


def gathered(found: ndarray, labels: ndarray) -> float:
    """The mean distance to the own person's mean, over the mean distance between these."""
    centers = np.stack([found[labels == p].mean(axis=0) for p in range(labels.max() + 1)])
    a, b = np.triu_indices(len(centers), k=1)
    within = np.linalg.norm(found - centers[labels], axis=1).mean()
    return float(within / np.linalg.norm(centers[a] - centers[b], axis=1).mean())


def main(
    data: Annotated[Path, typer.Option(help="the folder that prepare_people wrote")],
    out: Annotated[Path, typer.Option(help="the plot")] = Path("docs/images/recognition-gathering.png"),
    page: Annotated[Path, typer.Option(help="the page that is rewritten")] = Path("docs/recognition.md"),
    people: int = 8,
) -> None:
    """Trains once a weight, draws, and writes the table."""
    faces = few(gallery.load(data / "train.tfrecord"), people)
    figure = Figure(figsize=(3.4 * len(WEIGHTS), 3.6), layout="constrained")
    rows = []
    for axes, weight in zip(figure.subplots(1, len(WEIGHTS)), WEIGHTS, strict=True):
        found = features(faces, weight)
        ratio = gathered(found, faces.labels)
        colours = [colormaps["tab10"](int(label)) for label in faces.labels]
        axes.scatter(found[:, 0], found[:, 1], c=colours, s=6)
        axes.set(xticks=[], yticks=[], title=f"lambda {weight:g}: {ratio:.2f}")
        rows.append([f"{weight:g}", f"{ratio:.3f}"])
        print(
            f"lambda {weight:<6g} distance to the center over distance between centers {ratio:.3f}",
            flush=True,
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=80)
    head = ["lambda", "distance to the own center over that between centers"]
    fill(page, "gathering", measured(table(head, rows)))


if __name__ == "__main__":
    typer.run(main)
