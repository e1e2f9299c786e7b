"""multipart/form-data into memory: a part over its limit ends the reading, nothing goes to disk."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.errors import BadParameter, TooManyBytes

_MOST_PARTS = 16


@dataclass
class Part:
    """One part. Whether it has a filename or a type does not matter here. `over`: its data was too much."""

    name: str = ""
    data: bytearray = field(default_factory=bytearray)
    over: bool = False


async def parse(
    content_type: str, body: AsyncIterator[bytes], most: int, parts: int = _MOST_PARTS, lenient: bool = False
) -> list[Part]:
    """The body's parts in order, at most so many, each of at most `most` bytes.

    Raises TooManyBytes naming the part, and BadParameter for a body that is malformed or ends early. When
    `lenient`, a part that is over its limit loses its data and does not end the reading.
    """
    _, options = parse_options_header(content_type)
    reader = _Reader(most, parts, lenient)
    try:
        parser = MultipartParser(options.get(b"boundary", b""), reader.callbacks())  # type: ignore[arg-type]
        async for chunk in body:
            parser.write(chunk)
    except FormParserError as error:
        raise BadParameter(f"The multipart body is not understood: {error}.") from error
    if not reader.ended:
        raise BadParameter("The multipart body ends early: its last boundary is missing.")
    return reader.parts


class _Reader:
    """Gathers the parts as the parser comes upon their pieces."""

    def __init__(self, most: int, most_parts: int, lenient: bool) -> None:
        self.parts: list[Part] = []
        self._most_parts = most_parts
        self._lenient = lenient
        self.ended = False
        self._most = most
        self._header = bytearray()
        self._value = bytearray()

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._take_header,
            "on_header_value": self._take_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._check_name,
            "on_part_data": self._take_data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.parts) == self._most_parts:
            raise BadParameter(f"The multipart body has more than {self._most_parts} parts.")
        self.parts.append(Part())

    def _take_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self.parts[-1].name = options.get(b"name", b"").decode(errors="replace")
        self._header.clear()
        self._value.clear()

    def _check_name(self) -> None:
        if not self.parts[-1].name:
            raise BadParameter("A part of the multipart body has no name in its Content-Disposition.")

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        part = self.parts[-1]
        if len(part.data) + end - start > self._most:
            if not self._lenient:
                raise TooManyBytes(f"The {part.name} is over the limit of {self._most} bytes.", part.name)
            part.over = True
            part.data.clear()
        if not part.over:
            part.data += data[start:end]

    def _end(self) -> None:
        self.ended = True
