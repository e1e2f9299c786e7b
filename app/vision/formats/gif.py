"""GIF files: the size of their first frame."""

import struct


def size(data: bytes) -> tuple[int, int]:
    """Return the size of the logical screen of a GIF file, enlarged to contain the first frame.

    Raises:
        struct.error: the file ends in its header.
        IndexError: the file ends in an extension.
    """
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while data[at : at + 1] == b"!":  # an extension before the first frame: a label, then sub-blocks
        at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
    if data[at : at + 1] == b",":
        left, top, frame_width, frame_height = struct.unpack_from("<HHHH", data, at + 1)
        width, height = max(width, left + frame_width), max(height, top + frame_height)
    return width, height
