"""Draw features of two numbers trained with center loss of increasing weight.

    python -m training.studies.center_loss_plane --data cache/people

This is the figure of Wen et al. (2016), with faces of a few people instead of digits. A small net with two
features is trained once for each weight, from the same initial weights, and its features of the training
images are plotted. The table has the mean distance of a feature from its center, divided by the mean distance
between centers.
"""

from pathlib import Path
from typing import Annotated

import keras
import numpy as np
import typer
from jaxtyping import Float32, Int
from keras import layers
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy import ndarray

from training.config.schema import Augmentation, EmbeddingConfig
from training.data.batches.embeddings import EmbeddingBatches, served_crops
from training.data.storage import identity_crops
from training.data.storage.identity_crops import IdentityCrops
from training.engine import embedding_objectives
from training.engine.fit import SelectEpoch
from training.engine.optimizer import compile_net
from training.evaluation.user_errors import one_line_errors
from training.models.small_face import small_face
from training.reports.markdown import dated, fill, table

WEIGHTS = (0.0, 0.01, 0.1, 1.0)
CONFIG = EmbeddingConfig(
    name="center-loss-plane",
    objective="softmax",
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


def build() -> keras.Model:
    """Return the untrained net with two features, which are not normalised: the loss sets their scale."""
    net = small_face(CONFIG.size, 16, dropout=0.0)
    return keras.Model(net.input, layers.Dense(2, use_bias=False, name="plane")(net.output))


def select_people(faces: IdentityCrops, count: int) -> IdentityCrops:
    """Return the faces of the `count` people with the most images, with labels from 0."""
    people = np.argsort(-np.bincount(faces.labels), kind="stable")[:count]
    index = np.flatnonzero(np.isin(faces.labels, people))
    labels = np.searchsorted(np.sort(people), faces.labels[index])
    return IdentityCrops(faces.images[index], labels, tuple(faces.addresses[i] for i in index), faces.span)


def train_features(faces: IdentityCrops, weight: float) -> Float32[ndarray, "n 2"]:
    """Return the features of all faces after training with a weight of the center loss."""
    keras.utils.set_random_seed(CONFIG.seed)
    config = CONFIG.model_copy(update={"center_weight": weight})
    objective = embedding_objectives.build(build(), config, faces.people)
    batches = EmbeddingBatches(faces, config)
    compile_net(objective.model, config, len(batches), objective.loss, objective.metrics)
    objective.model.fit(
        batches, epochs=config.epochs, shuffle=False, verbose=0, callbacks=[SelectEpoch(batches)]
    )
    return np.asarray(objective.embed.predict(served_crops(faces, config.size), verbose=0))


def distance_ratio(features: Float32[ndarray, "n 2"], labels: Int[ndarray, " n"]) -> float:
    """Return the mean distance of a feature from its center over the mean distance between centers.

    A center is the mean of the features of a person.
    """
    centers = np.stack([features[labels == person].mean(axis=0) for person in range(labels.max() + 1)])
    a, b = np.triu_indices(len(centers), k=1)
    within = np.linalg.norm(features - centers[labels], axis=1).mean()
    return float(within / np.linalg.norm(centers[a] - centers[b], axis=1).mean())


def main(
    data: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="The folder that `prepare identities` wrote.")
    ],
    out: Annotated[Path, typer.Option(help="The PNG file of the plot.")] = Path(
        "docs/images/center-loss-plane.png"
    ),
    page: Annotated[Path, typer.Option(help="The page whose table is replaced.")] = Path(
        "docs/experiments/recognition-studies.md"
    ),
    people: int = 8,
) -> None:
    """Train the net once for each weight; write the plot and the table."""
    faces = select_people(identity_crops.load(data / "train.tfrecord"), people)
    figure = Figure(figsize=(3.4 * len(WEIGHTS), 3.6), layout="constrained")
    rows = []
    for axes, weight in zip(figure.subplots(1, len(WEIGHTS)), WEIGHTS, strict=True):
        features = train_features(faces, weight)
        ratio = distance_ratio(features, faces.labels)
        colours = [colormaps["tab10"](int(label)) for label in faces.labels]
        axes.scatter(features[:, 0], features[:, 1], c=colours, s=6)
        axes.set(xticks=[], yticks=[], title=f"lambda {weight:g}: {ratio:.2f}")
        rows.append([f"{weight:g}", f"{ratio:.3f}"])
        print(f"lambda {weight:<6g} distance from the center / between centers {ratio:.3f}", flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=80)
    head = ["lambda", "mean distance from the center / mean distance between centers"]
    fill(page, "center-loss-plane", dated(table(head, rows)))


if __name__ == "__main__":
    with one_line_errors():
        typer.run(main)
