"""Parser for multipart/form-data in memory. It enforces limits while reading, and writes nothing to disk."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.api.body_guess import guess
from app.errors import BadParameter, TooManyBytes

_MAX_PARTS = 16
_MAX_BOUNDARY = 256  # of the parser; RFC 2046 allows 70 bytes
_MAX_DELIMITERS = 1000
"""Maximum occurrences of the boundary in addition to those between parts: each takes the parser 1.5 us."""

_HEAD = 4096
_SHOWN = 80

_LIBRARY = "Do not set this header yourself: HTTP libraries write it together with the form."


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
    boundary = options.get(b"boundary", b"")
    usable = 0 < len(boundary) <= _MAX_BOUNDARY
    preamble, reader = _Preamble(boundary), _PartReader(max_bytes, max_parts, lenient)
    delimiters = 0
    parser = MultipartParser(boundary if usable else b"-", reader.callbacks())  # type: ignore[arg-type]
    try:
        async for chunk in body:
            rest = preamble.skip(chunk)
            if not usable:
                break
            delimiters += rest.count(b"\r\n--" + boundary)
            if delimiters > max_parts + _MAX_DELIMITERS:
                raise BadParameter(
                    f"The boundary {_shown(boundary)} occurs in the content of the form. Let an HTTP library "
                    "choose it."
                )
            if rest:
                parser.write(rest)
    except FormParserError as error:
        raise BadParameter(f"The form is malformed: {error}. Let an HTTP library write it.") from error
    if not usable or not preamble.ended:
        raise BadParameter(preamble.fault())
    if not reader.ended:
        end = _shown(b"--" + boundary + b"--")
        raise BadParameter(f"The form is incomplete: its last line, {end}, is missing. Send the whole form.")
    return reader.parts


class _Preamble:
    """Skips the bytes before the first boundary, which RFC 2046 allows and which have no meaning.

    Attributes:
        ended: whether the first boundary was found.
    """

    def __init__(self, boundary: bytes) -> None:
        self.ended = False
        self._boundary = boundary
        self._line = re.compile(rb"\n--" + re.escape(boundary) + rb"(?=\s|--)")
        self._head = bytearray()
        self._recent = bytearray(b"\n")  # the body begins with the start of a line

    def skip(self, chunk: bytes) -> bytes:
        """Return the bytes of the next chunk of the body that are not part of the preamble.

        Raises:
            BadParameter: the lines of the form end with LF alone.
        """
        if self.ended:
            return chunk
        self._head += chunk[: _HEAD - len(self._head)]
        self._recent += chunk
        found = self._line.search(self._recent)
        if found is None:
            del self._recent[: -len(self._boundary) - 4]
            return b""
        self.ended = True
        if self._recent[found.end() : found.end() + 1] == b"\n":
            raise BadParameter(
                "The lines of the form end with LF. HTTP requires CR LF at the end of each line."
            )
        rest = bytes(self._recent[found.start() + 1 :])
        self._recent.clear()
        return rest

    def fault(self) -> str:
        """Return why the form has no first boundary, as full sentences."""
        found = guess(bytes(self._head))
        if found is not None and found.media not in (None, "multipart/form-data"):
            return f"The body is {found.what}, not a form. Send it with the content type {found.media}."
        if not self._boundary:
            return f"The header Content-Type has no boundary, which separates the parts of a form. {_LIBRARY}"
        if len(self._boundary) > _MAX_BOUNDARY:
            return f"The boundary in the header Content-Type has {len(self._boundary)} characters. {_LIBRARY}"
        if not self._head:
            return "The form is empty: the request has no body. Send the parts of the form."
        start = bytes(self._head).lstrip().partition(b"\n")[0].rstrip()
        if start == self._boundary:
            return (
                f"Each boundary in the body must follow two hyphens: after {_shown(start)} in the header "
                f"Content-Type, the body must have {_shown(b'--' + start)}. {_LIBRARY}"
            )
        return (
            f"The boundary {_shown(self._boundary)} of the header Content-Type does not occur in the body, "
            f"which begins with {_shown(start)}. {_LIBRARY}"
        )


def _shown(data: bytes) -> str:
    """Return the start of the data as a literal."""
    return repr(data[:_SHOWN])[1:]


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
            raise BadParameter(f"The form has more than {self._max_parts} parts. Send fewer parts.")
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
            raise BadParameter(
                "A part of the form has no name. Each part needs a header such as "
                'Content-Disposition: form-data; name="image".'
            )

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
