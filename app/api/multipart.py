"""Parser for multipart/form-data in memory. It enforces limits while reading, and writes nothing to disk."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.errors import BadParameter, TooManyBytes

_MAX_PARTS = 16


@dataclass
class Part:
    """One part of the body. File name and content type of a part are ignored.

    Attributes:
        name: name of the field.
        data: content of the part; empty if it exceeded the limit.
        over: whether the content exceeded the limit.
    """

    name: str = ""
    data: bytearray = field(default_factory=bytearray)
    over: bool = False


async def parse(
    content_type: str,
    body: AsyncIterator[bytes],
    max_bytes: int,
    max_parts: int = _MAX_PARTS,
    lenient: bool = False,
) -> list[Part]:
    """Return the parts of a body in order.

    Args:
        content_type: the header Content-Type of the request, which has the boundary.
        body: the chunks of the body.
        max_bytes: maximum size of a part in bytes.
        max_parts: maximum number of parts.
        lenient: drop the content of a part that exceeds the limit and continue, instead of raising an error.

    Raises:
        TooManyBytes: a part exceeds the limit, unless `lenient`. The error names the part.
        BadParameter: the body is malformed, incomplete, or has too many parts.
    """
    _, options = parse_options_header(content_type)
    reader = _PartReader(max_bytes, max_parts, lenient)
    try:
        parser = MultipartParser(options.get(b"boundary", b""), reader.callbacks())  # type: ignore[arg-type]
        async for chunk in body:
            parser.write(chunk)
    except FormParserError as error:
        raise BadParameter(f"The multipart body is malformed: {error}.") from error
    if not reader.ended:
        raise BadParameter("The multipart body is incomplete: its last boundary is missing.")
    return reader.parts


class _PartReader:
    """Collects the parts from the callbacks of the parser."""

    def __init__(self, max_bytes: int, max_parts: int, lenient: bool) -> None:
        self.parts: list[Part] = []
        self._max_parts = max_parts
        self._lenient = lenient
        self.ended = False
        self._max_bytes = max_bytes
        self._header = bytearray()
        self._value = bytearray()

    def callbacks(self) -> dict[str, object]:
        """Return the callbacks by the names that the parser gives them."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_header_name,
            "on_header_value": self._add_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._check_name,
            "on_part_data": self._add_data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.parts) == self._max_parts:
            raise BadParameter(f"The multipart body has more than {self._max_parts} parts. Send fewer parts.")
        self.parts.append(Part())

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self.parts[-1].name = options.get(b"name", b"").decode(errors="replace")
        self._header.clear()
        self._value.clear()

    def _check_name(self) -> None:
        if not self.parts[-1].name:
            raise BadParameter("A part of the multipart body has no name in its header Content-Disposition.")

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        part = self.parts[-1]
        if len(part.data) + end - start > self._max_bytes:
            if not self._lenient:
                raise TooManyBytes(
                    f"The field {part.name} exceeds the limit of {self._max_bytes} bytes.", part.name
                )
            part.over = True
            part.data.clear()
        if not part.over:
            part.data += data[start:end]

    def _end(self) -> None:
        self.ended = True
