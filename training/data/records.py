"""TFRecord files of crops, written by TensorFlow and read without it.

A record is a `tf.train.Example`. The reader takes the wire format apart itself, so that a machine with the
torch or jax backend, and no TensorFlow, trains from the same files.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy import ndarray

Value = bytes | ndarray
Record = Mapping[str, Value]
"""A feature by name: bytes, or a vector of float32 or int64."""


def write(path: Path, records: Iterable[Record]) -> int:
    """Writes a TFRecord file, whole or not at all; answers the number of records. Needs TensorFlow."""
    import tensorflow as tf

    count = 0
    draft = path.with_name(path.name + ".part")
    with tf.io.TFRecordWriter(str(draft)) as writer:
        for record in records:
            features = tf.train.Features(feature={k: _feature(tf.train, v) for k, v in record.items()})
            example = tf.train.Example(features=features)
            writer.write(example.SerializeToString(deterministic=True))
            count += 1
    draft.replace(path)
    return count


def _feature(train, value: Value):  # type: ignore[no-untyped-def] # TensorFlow's protobuf module has no types
    if isinstance(value, bytes):
        return train.Feature(bytes_list=train.BytesList(value=[value]))
    if np.issubdtype(value.dtype, np.integer):
        return train.Feature(int64_list=train.Int64List(value=value.ravel().tolist()))
    return train.Feature(float_list=train.FloatList(value=value.ravel().tolist()))


def read(path: Path) -> Iterator[dict[str, Value]]:
    """The file's records, in order. Raises ValueError for a file that ends within a record."""
    with path.open("rb") as file:
        while head := file.read(12):
            size = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else -1
            body = file.read(size + 4) if size >= 0 else b""
            if len(body) != size + 4:
                raise ValueError(f"{path} ends within a record")
            yield _example(memoryview(body)[:size])


def _example(message: memoryview) -> dict[str, Value]:
    out: dict[str, Value] = {}
    for _, features in _fields(message):
        for _, entry in _fields(features):
            parts = dict(_fields(entry))
            out[bytes(parts[1]).decode()] = _value(parts[2])
    return out


def _value(feature: memoryview) -> Value:
    for kind, body in _fields(feature):
        lists = [value for _, value in _fields(body)]
        if kind == 1:
            return bytes(lists[0])
        joined = b"".join(bytes(part) for part in lists)
        return np.frombuffer(joined, "<f4") if kind == 2 else np.array(_varints(joined), np.int64)
    return np.empty(0, np.float32)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The (number, bytes) of a message whose fields are all length-delimited, as every one read here is."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        if tag & 7 != 2:
            raise ValueError(f"a field of wire type {tag & 7} in an example")
        size, at = _varint(message, at)
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(data: memoryview | bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _varints(data: bytes) -> list[int]:
    out, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        out.append(value - (1 << 64) if value >> 63 else value)
    return out
