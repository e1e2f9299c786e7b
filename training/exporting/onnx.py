"""Export of a Keras net to a served ONNX file, with its spec, a golden file and a parity gate.

The input of a served net is uint8 NHWC RGB. A net of other nets' vectors takes float32.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from keras import ops
from numpy import ndarray

from app.runtime.device import Device
from app.runtime.session import OrtSession
from app.vision.spec import METADATA_KEY, ModelSpec
from training.exporting import onnx_passes

OPSET, IR_VERSION = 18, 8


class ParityError(ValueError):
    """An ONNX file differs from its Keras net by more than the tolerance. Nothing was written."""


def serving_net(net: keras.Model, unit_length: str | None = None) -> keras.Model:
    """Return a net with a uint8 NHWC input in front.

    Args:
        net: RGB float, 0..255, to a dict of named outputs.
        unit_length: name of an output that is normalised to length 1. Its length before is the output
            `norm` (n, 1).

    Raises:
        TypeError: the outputs of the net have no names.
    """
    image = keras.Input(net.input_shape[1:], dtype="uint8", name="image")
    outputs = net(ops.cast(image, "float32"))
    if not isinstance(outputs, dict):
        raise TypeError("A served net must return a dict of named outputs.")
    if unit_length is not None:
        vector = outputs[unit_length]
        norm = ops.sqrt(ops.sum(ops.square(vector), axis=-1, keepdims=True))
        outputs[unit_length] = vector / ops.maximum(norm, 1e-10)
        outputs["norm"] = norm
    return keras.Model(image, outputs)


def export(
    net: keras.Model,
    spec: ModelSpec,
    path: Path,
    golden: Path,
    *,
    half: bool = False,
    tolerance: float = 2e-5,
) -> float:
    """Write a served net and its golden file.

    Both files appear only after the parity gate.

    Args:
        net: from `serving_net`, or a net that takes vectors.
        spec: written into the file's metadata.
        path: the ONNX file.
        golden: the file of golden inputs and outputs.
        half: store the weights in half precision; the computation stays in single precision.
        tolerance: maximum absolute difference of an output.

    Returns:
        The largest absolute difference between ONNX and Keras.

    Raises:
        ParityError: an output of the ONNX file differs from that of Keras by more than `tolerance`.
    """
    model = to_onnx(net, half=half)
    model.metadata_props.add(key=METADATA_KEY, value=spec.model_dump_json())
    inputs = golden_input(net)
    expected = {name: np.asarray(value) for name, value in net(inputs, training=False).items()}
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / path.name
        part.write_bytes(model.SerializeToString(deterministic=True))
        outputs = OrtSession(part, Device("cpu", threads=1)).run(inputs)
        worst = max(float(np.abs(outputs[name] - value).max()) for name, value in expected.items())
        if not worst <= tolerance:
            raise ParityError(
                f"{path.name}: ONNX differs from Keras by {worst:.3g}; the limit is {tolerance:.3g}."
            )
        saved = Path(folder) / golden.name
        arrays: dict[str, Any] = {net.input.name: inputs, "tolerance": np.float32(tolerance), **expected}
        np.savez_compressed(saved, **arrays)
        for source, target in ((saved, golden), (part, path)):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(source, target)
    return worst


def to_onnx(net: keras.Model, *, half: bool) -> onnx.ModelProto:
    """Return the net as an ONNX model of opset 18 with named outputs, and free batch and image sizes.

    Args:
        net: from `serving_net`, or a net that takes vectors.
        half: store the weights in half precision.
    """
    signature = (tf.TensorSpec((None, *net.input_shape[1:]), net.input.dtype, name=net.input.name),)
    names = sorted(net.output.keys())
    ordered = keras.Model(net.input, [net.output[name] for name in names])
    model, _ = tf2onnx.convert.from_keras(ordered, input_signature=signature, opset=OPSET)
    onnx_passes.rename_outputs(model.graph, names)
    onnx_passes.free_sizes(model.graph)
    onnx_passes.plain_resize(model.graph)
    if None in net.input_shape[1:]:
        onnx_passes.transpose_bytes_first(model.graph)
        onnx_passes.convolve_interleaved(model.graph)
        onnx_passes.resize_repeats(model.graph)
    onnx_passes.canonicalise(model.graph)
    if half:
        onnx_passes.store_half(model.graph)
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version, model.doc_string = "facet", "", ""
    onnx.checker.check_model(model)
    return model


def golden_input(net: keras.Model) -> ndarray:
    """Return the golden input of a served net, from a fixed seed: two images, or two vectors."""
    if net.input.dtype == "uint8":
        return golden_images(net.input_shape[1:])
    return np.random.default_rng(0).uniform(0, 1, (2, *net.input_shape[1:])).astype(np.float32)


def golden_images(shape: tuple[int | None, ...]) -> ndarray:
    """Return two smooth random images (2, h, w, 3) for an input shape, from a fixed seed.

    Args:
        shape: height, width and channels; a free size becomes 64 x 96.
    """
    height, width = (side or default for side, default in zip(shape[:2], (64, 96), strict=True))
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    rows = np.linspace(0, 7, height)
    columns = np.linspace(0, 7, width)
    smooth = _interpolate(_interpolate(coarse, rows, 1), columns, 2)
    return np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)


def _interpolate(values: ndarray, positions: ndarray, axis: int) -> ndarray:
    low = np.minimum(positions.astype(int), values.shape[axis] - 2)
    weight = (positions - low).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    return np.take(values, low, axis) * (1 - weight) + np.take(values, low + 1, axis) * weight
