"""TFRecord files: written by TensorFlow, read without it.

A record is a `tf.train.Example`. The reader decodes protobuf's wire format itself, so that a machine with
torch or jax and without TensorFlow can train from the same files.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy import ndarray

from training.data.storage.prepared import BadPreparedData
from training.data.storage.whole_file import whole_file

Value = bytes | ndarray
Record = Mapping[str, Value]
"""Features by name: bytes, or a vector of float32 or int64."""


def write(path: Path, records: Iterable[Record]) -> int:
    """Write a TFRecord file. It appears at its path when it is complete. Needs TensorFlow.

    Returns:
        The number of records.

    Raises:
        OSError: the file cannot be written.
    """
    import tensorflow as tf

    count = 0
    try:
        with whole_file(path) as part, tf.io.TFRecordWriter(str(part)) as writer:
            for record in records:
                features = tf.train.Features(feature={k: _feature(tf.train, v) for k, v in record.items()})
                example = tf.train.Example(features=features)
                writer.write(example.SerializeToString(deterministic=True))
                count += 1
    except tf.errors.OpError as error:
        raise OSError(f"{path} cannot be written: {error.message}") from error
    return count


def _feature(train, value: Value):  # type: ignore[no-untyped-def] # TensorFlow's protobuf module has no types
    if isinstance(value, bytes):
        return train.Feature(bytes_list=train.BytesList(value=[value]))
    if np.issubdtype(value.dtype, np.integer):
        return train.Feature(int64_list=train.Int64List(value=value.ravel().tolist()))
    return train.Feature(float_list=train.FloatList(value=value.ravel().tolist()))


def read(path: Path) -> Iterator[dict[str, Value]]:
    """Yield the records of a file in order.

    Yields:
        The features of a record by name.

    Raises:
        BadPreparedData: the file ends inside a record, or is damaged.
        FileNotFoundError: the file does not exist.
    """
    with path.open("rb") as file:
        longest = path.stat().st_size
        while head := file.read(12):
            size = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else -1
            body = file.read(size + 4) if 0 <= size <= longest else b""
            if len(body) != size + 4:
                raise BadPreparedData(f"{path} ends inside a record. Write it again with `training.prepare`.")
            try:
                example = _example(memoryview(body)[:size])
            except (IndexError, KeyError, ValueError) as error:
                cause = f"{path} is damaged, or is no TFRecord file of `training.prepare`. Write it again."
                raise BadPreparedData(cause) from error
            yield example


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
    """Yield number and content of the fields of a message, all of which are length-delimited in an example.

    Yields:
        The number of a field, and its bytes.

    Raises:
        ValueError: a field has another wire type.
    """
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        if tag & 7 != 2:
            raise ValueError(f"A record has a field of wire type {tag & 7}, so it is no tf.train.Example.")
        size, position = _varint(message, position)
        yield tag >> 3, message[position : position + size]
        position += size


def _varint(data: memoryview | bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7


def _varints(data: bytes) -> list[int]:
    out, position = [], 0
    while position < len(data):
        value, position = _varint(data, position)
        out.append(value - (1 << 64) if value >> 63 else value)
    return out
