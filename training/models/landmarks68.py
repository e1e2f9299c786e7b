"""`landmarks68`: a residual U-net whose heatmaps are read by their centre of mass (soft-argmax).

The points are the expectations of heatmaps, as in Sun et al., "Integral human pose regression" (2018), and
Nibali et al., "Numerical coordinate regression with convolutional neural networks" (2018). The heatmaps come
from an hourglass (Newell et al., 2016): residual blocks of stride 2 down to 1/32 of the image's side, and
back up to 1/4, where the finer levels are added. It has 3x3 and 1x1 convolutions with ReLU only, which are
fast on CPUs and GPUs.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

from app.vision.points import COUNTS, fifteen_of_ibug68
from training.models import face_mesh

SIZE = 128
WIDTHS = (24, 40, 80, 128, 192)
"""Channels at 1/2, 1/4, ... of the image's side."""

MESH_SIZE = 160
DECODER_WIDTHS = (128, 96)


@keras.saving.register_keras_serializable("training")
class CentreOfMass(layers.Layer):  # type: ignore[misc] # Keras has no types
    """Logits (n, h, w, k) to the expected positions of k heatmaps, in unit coordinates (n, 2k)."""

    def call(self, logits: keras.KerasTensor) -> keras.KerasTensor:
        """Return the means of the cells' centres, weighted by a softmax over the cells."""
        _, height, width, maps = logits.shape
        flat = ops.reshape(ops.transpose(logits, (0, 3, 1, 2)), (-1, maps, height * width))
        weight = ops.softmax(ops.cast(flat, "float32"), axis=-1)
        return ops.reshape(ops.matmul(weight, ops.convert_to_tensor(_centres(height, width))), (-1, 2 * maps))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, int]:
        """Return (n, 2k)."""
        return (shape[0], 2 * int(shape[3] or 0))


@keras.saving.register_keras_serializable("training")
class NearestUpsampling(layers.Layer):  # type: ignore[misc] # Keras has no types
    """Feature maps (n, h, w, c) to (n, 2h, 2w, c) by the nearest cell.

    In ONNX it is one Resize, where `UpSampling2D` is a chain of operators on shapes.
    """

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Return the upsampled maps."""
        return ops.image.resize(x, (2 * x.shape[1], 2 * x.shape[2]), interpolation="nearest")


def _centres(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([(x + 0.5) / width, (y + 0.5) / height], -1).reshape(-1, 2).astype(np.float32)


def _conv(x: keras.KerasTensor, filters: int, size: int, name: str, stride: int = 1) -> keras.KerasTensor:
    x = layers.Conv2D(
        filters, size, stride, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    return layers.BatchNormalization(momentum=0.97, epsilon=1e-4, name=f"{name}_norm")(x)


def _block(x: keras.KerasTensor, filters: int, name: str, stride: int = 1) -> keras.KerasTensor:
    """Return a residual block of two 3x3 convolutions (He et al., 2016)."""
    y = layers.ReLU()(_conv(x, filters, 3, f"{name}_a", stride))
    y = _conv(y, filters, 3, f"{name}_b")
    if stride != 1 or x.shape[-1] != filters:
        if stride != 1:
            x = layers.AveragePooling2D(stride)(x)
        x = _conv(x, filters, 1, f"{name}_skip")
    return layers.ReLU()(layers.Add()([x, y]))


def trunk(image: keras.KerasTensor, widths: Sequence[int] = WIDTHS) -> keras.KerasTensor:
    """Return the features (n, h/4, w/4, c); the receptive field of each is the whole image.

    Args:
        image: RGB float, 0..255, (n, h, w, 3).
        widths: channels at 1/2, 1/4, ... of the image's side.
    """
    x = layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="scale")(image)
    x = layers.ReLU()(_conv(x, widths[0], 3, "stem", 2))
    levels = []
    for i, width in enumerate(widths[1:]):
        x = _block(x, width, f"down{i}", 2)
        levels.append(x)
    x = _block(levels.pop(), widths[-1], "bottom")
    for i, side in enumerate(reversed(levels)):
        width = side.shape[-1]
        x = NearestUpsampling()(_conv(x, width, 1, f"up{i}_in"))
        x = layers.ReLU()(layers.Add()([x, _conv(side, width, 1, f"up{i}_side")]))
        x = layers.ReLU()(_conv(x, width, 3, f"up{i}_out"))
    return x


def landmark_net(points: int, name: str, widths: Sequence[int] = WIDTHS) -> keras.Model:
    """Return the net: RGB float, 0..255, (n, 128, 128, 3) to unit coordinates (n, 2 * points).

    They are x0, y0, x1, y1, ...; a unit coordinate is (pixel + 0.5) / 128.

    Args:
        points: number of points.
        name: name of the net.
        widths: channels at 1/2, 1/4, ... of the image's side.
    """
    image = keras.Input((SIZE, SIZE, 3), name="image")
    maps = layers.Conv2D(points, 1, name="maps")(trunk(image, widths))
    return keras.Model(image, CentreOfMass(dtype="float32", name="points")(maps), name=name)


def mesh_landmark_net(points: int, name: str, widths: Sequence[int] = DECODER_WIDTHS) -> keras.Model:
    """Return a net on the trunk of MediaPipe's face mesh, with the inputs and outputs of `landmark_net`.

    Its input has 160x160 pixels. The trunk's coarsest features, at 1/32 of the side, are upsampled to 1/8,
    and the finer levels are added.

    Args:
        points: number of points.
        name: name of the net.
        widths: channels of the decoder at 1/16 and 1/8 of the image's side.
    """
    image = keras.Input((MESH_SIZE, MESH_SIZE, 3), name="image")
    levels = face_mesh.trunk(image)
    x = levels.pop()
    for i, width in enumerate(widths):
        x = NearestUpsampling()(_conv(x, width, 1, f"up{i}_in"))
        x = layers.ReLU()(layers.Add()([x, _conv(levels.pop(), width, 1, f"up{i}_side")]))
        x = layers.ReLU()(_conv(x, width, 3, f"up{i}_out"))
    maps = layers.Conv2D(points, 1, name="maps")(x)
    return keras.Model(image, CentreOfMass(dtype="float32", name="points")(maps), name=name)


@keras.saving.register_keras_serializable("training")
class FifteenOfIbug68(layers.Layer):  # type: ignore[misc] # Keras has no types
    """Coordinates (n, 136) of iBUG's 68 points to those (n, 30) of Kaggle's 15, without weights."""

    def call(self, points: keras.KerasTensor) -> keras.KerasTensor:
        """Return the 15 points: a linear map, see `app.vision.points.fifteen_of_ibug68`."""
        each = fifteen_of_ibug68(np.eye(COUNTS["ibug68"], dtype=np.float32)[:, :, None].repeat(2, 2))[..., 0]
        return ops.matmul(points, ops.convert_to_tensor(np.kron(each, np.eye(2, dtype=np.float32))))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, int]:
        """Return (n, 30)."""
        return (shape[0], 2 * COUNTS["kaggle15"])


def fifteen_net(net: keras.Model, name: str) -> keras.Model:
    """Return a net of 68 points, mapped to Kaggle's 15: unit coordinates (n, 30).

    It has the weights of the net of 68 points, so it loads the weights file of such a run.

    Args:
        net: `landmark_net` or `mesh_landmark_net` of 68 points.
        name: name of the net.
    """
    return keras.Model(net.input, FifteenOfIbug68(dtype="float32", name="fifteen")(net.output), name=name)
