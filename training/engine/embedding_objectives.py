"""Objectives for embedding nets: softmax with or without center loss, triplets, Siamese pairs, distillation.

Sources: center loss, Wen et al. (2016); triplets, Schroff et al. (2015); Siamese network, Koch et al. (2015);
contrastive loss, Hadsell et al. (2006); distillation, Hinton et al. (2015); SimHash, Charikar (2002).
"""

from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
from jaxtyping import Float32, Int64
from keras import layers, ops
from numpy import ndarray

from training.config.registry import (
    BEST_WEIGHTS,
    RunError,
    config_of,
    find,
    load_weights,
    module_of,
    read_run_file,
)
from training.config.schema import EmbeddingConfig
from training.losses import siamese as siamese_losses
from training.losses.center import CenterLoss
from training.losses.tensor import Loss, Tensor
from training.losses.triplet import triplet_loss
from training.models import siamese

SIMHASH_SLOPE = 6.0
"""Slope of the bits of a unit vector's SimHash. Each bit says on which side of a random plane it lies.

The distance of two SimHashes approximates the angle between the vectors, so the differences that the head of
a Siamese network reads mean something from the start.
"""


@dataclass(frozen=True)
class EmbeddingObjective:
    """An embedding net with what its objective adds for training.

    Attributes:
        model: what is trained on `loss`.
        product: the part whose weights are kept.
        embed: returns vectors; the cosine or `head` compares them.
        loss: labels and outputs to the loss.
        metrics: what is logged besides the loss.
        head: two vectors to a logit (Siamese network only).
    """

    model: keras.Model
    product: keras.Model
    embed: keras.Model
    loss: Loss
    metrics: list[Loss] = field(default_factory=list)
    head: keras.Model | None = None


def build(
    net: keras.Model, config: EmbeddingConfig, people: int, teacher: int | None = None
) -> EmbeddingObjective:
    """Return the objective that the config names.

    Args:
        net: images (n, size, size, 3) to features (n, d).
        config: the run.
        people: number of people in the training set.
        teacher: length of the vectors of a teacher; None if it is that of the features. Features of another
            length learn the SimHash of the vectors.
    """
    match config.objective:
        case "softmax":
            return _softmax(net, config, people)
        case "triplet":
            return _triplet(net, config)
        case "siamese":
            return _siamese(net, config)
        case "distillation":
            if teacher is None or teacher == config.dimension:
                return _distillation(net)
            return _simhash(net, config, teacher)


def build_trained(folder: Path) -> EmbeddingObjective:
    """Return the objective of a finished run with its best weights on validation.

    Raises:
        RunError: the run in `folder` is of another kind, or it is damaged.
        FileNotFoundError: the folder holds no run, or no weights.
    """
    config = config_of(folder, EmbeddingConfig)
    people = read_run_file(folder)["people"]["train"]
    objective = build(find(module_of(folder)).build(), config, people)
    load_weights(objective.product, folder / BEST_WEIGHTS)
    return objective


def _softmax(net: keras.Model, config: EmbeddingConfig, people: int) -> EmbeddingObjective:
    label = keras.Input((1,), dtype="int32", name="label")
    features = net.output
    if config.center_weight:
        features = CenterLoss(people, config.center_weight, config.center_alpha, dtype="float32")(
            (features, label)
        )
    logits = layers.Dense(people, use_bias=False, dtype="float32", name="people")(features)
    model = keras.Model((net.input, label), logits)

    def cross_entropy(person: Tensor, logits: Tensor) -> Tensor:
        return ops.mean(keras.losses.sparse_categorical_crossentropy(person[:, 0], logits, from_logits=True))

    def right(person: Tensor, logits: Tensor) -> Tensor:
        return ops.mean(ops.cast(ops.equal(ops.argmax(logits, axis=-1), person[:, 0]), logits.dtype))

    return EmbeddingObjective(model, net, net, cross_entropy, [right])


def _triplet(net: keras.Model, config: EmbeddingConfig) -> EmbeddingObjective:
    model = keras.Model(net.input, unit_length(net.output))

    def loss(labels: Tensor, embeddings: Tensor) -> Tensor:
        return triplet_loss(labels, embeddings, config.margin, config.mining)[0]

    def active(labels: Tensor, embeddings: Tensor) -> Tensor:
        return triplet_loss(labels, embeddings, config.margin, config.mining)[1]

    return EmbeddingObjective(model, net, net, loss, [active])


def _distillation(net: keras.Model) -> EmbeddingObjective:
    model = keras.Model(net.input, unit_length(net.output))

    def cosine(vectors: Tensor, embeddings: Tensor) -> Tensor:
        return ops.mean(ops.sum(vectors * embeddings, axis=-1))

    def distance(vectors: Tensor, embeddings: Tensor) -> Tensor:
        return 1.0 - cosine(vectors, embeddings)

    return EmbeddingObjective(model, net, net, distance, [cosine])


def _simhash(net: keras.Model, config: EmbeddingConfig, teacher: int) -> EmbeddingObjective:
    if getattr(net.layers[-1], "activation", None) is not keras.activations.sigmoid:
        raise RunError(
            f"{config.name} returns {config.dimension} numbers, and the teacher's vectors have {teacher}. "
            f"End its net with sigmoids, which learn bits of the vectors, or set dimension={teacher}."
        )
    planes = np.random.default_rng(0).normal(size=(teacher, config.dimension)).astype(np.float32)

    def bits(vectors: Tensor) -> Tensor:
        return ops.sigmoid(SIMHASH_SLOPE * ops.matmul(vectors, planes))

    def cross_entropy(vectors: Tensor, outputs: Tensor) -> Tensor:
        return ops.mean(keras.losses.binary_crossentropy(bits(vectors), outputs))

    def right(vectors: Tensor, outputs: Tensor) -> Tensor:
        return ops.mean(ops.cast(ops.equal(outputs > 0.5, bits(vectors) > 0.5), outputs.dtype))

    return EmbeddingObjective(net, net, net, cross_entropy, [right])


def _siamese(net: keras.Model, config: EmbeddingConfig) -> EmbeddingObjective:
    sides = tuple(keras.Input(net.input_shape[1:], name=name) for name in ("left", "right"))
    # One call for both sides, so that batch normalisation has the same statistics for both.
    left, right = ops.split(net(ops.concatenate(sides, axis=0)), 2, axis=0)
    pair, head = ops.stack([left, right], axis=1), siamese.head(config.dimension)
    distance = ops.sqrt(ops.mean(ops.square(left - right), axis=-1, keepdims=True) + 1e-12)
    # With the contrastive loss, the branch learns from the distance alone, and only the head from the logit.
    head_input = ops.stop_gradient(pair) if config.pair_loss == "contrastive" else pair
    outputs = [head(head_input), distance]
    if config.pair_loss == "all_pairs":
        differences = ops.absolute(ops.expand_dims(left, 1) - ops.expand_dims(right, 0))
        outputs.append(ops.squeeze(head.get_layer("logit")(differences), axis=-1))
    model = keras.Model(sides, ops.concatenate(outputs, axis=-1))

    def contrastive(labels: Tensor, outputs: Tensor) -> Tensor:
        return siamese_losses.contrastive_and_cross_entropy(labels, outputs, config.contrastive_margin)

    losses: dict[str, Loss] = {
        "cross_entropy": siamese_losses.cross_entropy,
        "contrastive": contrastive,
        "all_pairs": siamese_losses.all_pairs,
    }
    product = keras.Model([net.input, head.input], [net.output, head.output])
    metrics: list[Loss] = [siamese_losses.accuracy]
    return EmbeddingObjective(model, product, net, losses[config.pair_loss], metrics, head)


def unit_length(vectors: Tensor) -> Tensor:
    """Return vectors (n, d) at length 1."""
    norm = ops.sqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True))
    return vectors / ops.maximum(norm, 1e-10)


def similarities(
    objective: EmbeddingObjective,
    images: ndarray,
    left: Int64[ndarray, " p"],
    right: Int64[ndarray, " p"],
    batch: int,
) -> Float32[ndarray, " p"]:
    """Return the similarities of pairs of images; greater is more similar.

    Args:
        objective: a trained objective. Its head compares two vectors if there is one, else the cosine does.
        images: images (n, size, size, 3).
        left: indices of the pairs' first images.
        right: indices of their second images.
        batch: images per call of the net.
    """
    if objective.head is None:
        unit = embed(objective, images, batch)
        return (unit[left] * unit[right]).sum(axis=1)
    vectors = _predict(objective.embed, images, batch)
    return _predict(objective.head, np.stack([vectors[left], vectors[right]], axis=1), batch)[:, 0]


def embed(objective: EmbeddingObjective, images: ndarray, batch: int) -> Float32[ndarray, "n d"]:
    """Return the vectors of images (n, size, size, 3), of length 1, as the service returns them.

    The vector of the mirrored image is added, except for a Siamese branch.
    """
    vectors = _predict(objective.embed, images, batch)
    if objective.head is None:
        vectors = vectors + _predict(objective.embed, images[:, :, ::-1], batch)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-10))


def _predict(net: keras.Model, inputs: ndarray, batch: int) -> ndarray:
    return np.asarray(net.predict(inputs, batch_size=batch, verbose=0), np.float32)
