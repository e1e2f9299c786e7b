"""Three ways to a face representation: what is trained around a net, on which loss, and what is kept of it.

Classification with or without center loss (Wen et al., 2016), triplets (Schroff et al., 2015), and pairs
(Koch et al., 2015; contrastive loss: Hadsell et al., 2006).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops
from numpy import ndarray

from training.center_loss import CenterLoss
from training.config import BEST_WEIGHTS, RUN_FILE, FaceConfig, face_config_of, find_face
from training.mining import Tensor, triplet
from training.models import siamese

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class System:
    """`model` is trained on `loss`; `product` is what is kept of it.

    `embed` gives vectors to compare: by their cosine, or by a head where there is one.
    """

    model: keras.Model
    product: keras.Model
    embed: keras.Model
    loss: Loss
    metrics: list[Loss] = field(default_factory=list)
    head: keras.Model | None = None


def build(net: keras.Model, config: FaceConfig, people: int) -> System:
    """The system that the configuration names, around its net, for so many people."""
    match config.system:
        case "softmax":
            return _softmax(net, config, people)
        case "triplet":
            return _triplet(net, config)
        case "siamese":
            return _siamese(net, config)


def trained_system(folder: Path) -> System:
    """A run's system with the weights that did best on validation. Raises ValueError for another kind."""
    facts = json.loads((folder / RUN_FILE).read_text())
    config = face_config_of(folder)
    run = find_face(config.name)
    if run is None:
        raise ValueError(f"{config.name} is no run of a net of embeddings")
    system = build(run.build(), config, facts["people"]["train"])
    system.product.load_weights(folder / BEST_WEIGHTS)
    return system


def _softmax(net: keras.Model, config: FaceConfig, people: int) -> System:
    label = keras.Input((1,), dtype="int32", name="label")
    features = net.output
    if config.center_weight:
        features = CenterLoss(people, config.center_weight, config.center_alpha)((features, label))
    logits = layers.Dense(people, use_bias=False, name="people")(features)
    model = keras.Model([net.input, label], logits)

    def cross_entropy(truth: Tensor, found: Tensor) -> Tensor:
        return ops.mean(keras.losses.sparse_categorical_crossentropy(truth[:, 0], found, from_logits=True))

    def right(truth: Tensor, found: Tensor) -> Tensor:
        return ops.mean(ops.cast(ops.equal(ops.argmax(found, axis=-1), truth[:, 0]), found.dtype))

    return System(model, net, net, cross_entropy, [right])


def _triplet(net: keras.Model, config: FaceConfig) -> System:
    model = keras.Model(net.input, unit(net.output))

    def loss(truth: Tensor, found: Tensor) -> Tensor:
        return triplet(truth[:, 0], found, truth[:, 1:], config.margin, config.mining)[0]

    def active(truth: Tensor, found: Tensor) -> Tensor:
        return triplet(truth[:, 0], found, truth[:, 1:], config.margin, config.mining)[1]

    return System(model, net, net, loss, [active])


def _siamese(net: keras.Model, config: FaceConfig) -> System:
    sides = [keras.Input(net.input_shape[1:], name=name) for name in ("left", "right")]
    # One call for both sides: batch normalisation sees one population.
    left, right = ops.split(net(ops.concatenate(sides, axis=0)), 2, axis=0)
    pair, head = ops.stack([left, right], axis=1), siamese.head(config.dimension)
    apart = ops.sqrt(ops.mean(ops.square(left - right), axis=-1, keepdims=True) + 1e-12)
    seen = ops.stop_gradient(pair) if config.pair_loss == "contrastive" else pair
    outputs = [head(seen), apart]
    if config.pair_loss == "crossed":
        every = ops.absolute(ops.expand_dims(left, 1) - ops.expand_dims(right, 0))
        outputs.append(ops.squeeze(head.get_layer("logit")(every), axis=-1))
    model = keras.Model(sides, ops.concatenate(outputs, axis=-1))

    def cross_entropy(truth: Tensor, found: Tensor) -> Tensor:
        return ops.mean(keras.losses.binary_crossentropy(truth[:, :1], found[:, :1], from_logits=True))

    def by_distance(truth: Tensor, found: Tensor) -> Tensor:
        # The branch learns by the distance alone, the head on top of it by cross-entropy.
        away = contrastive(truth[:, 0], found[:, 1], config.contrastive_margin)
        return cross_entropy(truth, found) + ops.mean(away)

    def right_answers(truth: Tensor, found: Tensor) -> Tensor:
        return ops.mean(ops.cast(ops.equal(found[:, 0] > 0, truth[:, 0] > 0.5), found.dtype))

    product = keras.Model([net.input, head.input], [net.output, head.output])
    losses = {"cross_entropy": cross_entropy, "contrastive": by_distance, "crossed": crossed}
    return System(model, product, net, losses[config.pair_loss], [right_answers], head)


def crossed(truth: Tensor, found: Tensor) -> Tensor:
    """Cross-entropy of every left picture with every right one of a batch, both kinds weighing the same.

    `truth` holds people's numbers in columns 1 and 2, `found` the logits (n, n) from column 2 on.
    """
    logits = found[:, 2:]
    same = ops.cast(ops.equal(truth[:, 1:2], ops.transpose(truth[:, 2:3])), logits.dtype)
    costs = ops.softplus(logits) - same * logits
    kinds = [ops.sum(costs * kind) / ops.maximum(ops.sum(kind), 1.0) for kind in (same, 1.0 - same)]
    return 0.5 * (kinds[0] + kinds[1])


def contrastive(same: Tensor, distance: Tensor, margin: float) -> Tensor:
    """Half the squared distance of genuine pairs; half of what impostors lack to the margin, squared (n,)."""
    lacking = ops.maximum(margin - distance, 0.0)
    return 0.5 * (same * ops.square(distance) + (1.0 - same) * ops.square(lacking))


def unit(vectors: Tensor) -> Tensor:
    """The vectors (n, d) at length 1."""
    norm = ops.sqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True))
    return vectors / ops.maximum(norm, 1e-10)


def compared(system: System, images: ndarray, left: ndarray, right: ndarray, batch: int) -> ndarray:
    """The similarity of pairs of pictures (n, size, size, 3), by their numbers; greater is more alike."""
    if system.head is None:
        found = vectors(system, images, batch)
        return (found[left] * found[right]).sum(axis=1)
    answers = _run(system.embed, images, batch)
    return _run(system.head, np.stack([answers[left], answers[right]], axis=1), batch)[:, 0]


def vectors(system: System, images: ndarray, batch: int) -> ndarray:
    """Unit vectors (n, d) of pictures, as served: with those of the mirrored ones added, but for a branch."""
    found = _run(system.embed, images, batch)
    if system.head is None:
        found = found + _run(system.embed, images[:, :, ::-1], batch)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), np.float32(1e-10))


def _run(net: keras.Model, inputs: ndarray, batch: int) -> ndarray:
    return np.asarray(net.predict(inputs, batch_size=batch, verbose=0), np.float32)
