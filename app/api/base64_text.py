"""Images in base64: standard or URL-safe, wrapped, as data URLs; and what is wrong with other texts."""

import base64
import re

from app.errors import BadParameter

_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_SPACES = b" \t\n\r\v\f"
_ESCAPES = ((b"%2B", b"+"), (b"%2F", b"/"), (b"%3D", b"="), (b"%0D", b"\r"), (b"%0A", b"\n"))

_CHECKED = 1 << 16
"""Characters that are searched for blanks. One in 64 characters of base64 is a +."""

_MIN_LINE = 40
"""Minimum length of the lines of wrapped base64."""

_BREAK = re.compile(rb"(?<![ \t])[ \t]*+[\r\n]\s*+")
_FOREIGN = re.compile(r"[^A-Za-z0-9+/=_\s-]")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]{1,9}:/", re.IGNORECASE)
_FILE = re.compile(r".{0,300}\.(jpe?g|jfif|png|webp|bmp|gif|heic|heif|avif|tiff?|svg|pdf)", re.IGNORECASE)

_SEND = "Send the bytes of the image in base64."


def decode(text: str, field: str) -> bytes:
    """Return the bytes of a base64 text.

    White space around lines, missing padding, percent-encoding and a data URL prefix are accepted.

    Args:
        text: the text.
        field: name of the field, for the error.

    Raises:
        BadParameter: the text is not base64. The error says why, and what to send.
    """
    data = text.strip()
    if data[:5].lower() == "data:":
        _, comma, data = data.partition(",")
        if not comma:
            raise BadParameter(
                f"The data URL in the field {field} has no comma before its data. "
                "A data URL is data:image/jpeg;base64,DATA.",
                field,
            )
    try:
        plain = _plain(data.encode("ascii"), field)
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except ValueError:  # binascii.Error and UnicodeEncodeError are of this class
        raise BadParameter(_fault(data, field), field) from None


def _plain(text: bytes, field: str) -> bytes:
    """Return standard base64 without white space and padding.

    Raises:
        BadParameter: blanks stand for `+`.
    """
    if b"%" in text:
        for escape, sign in _ESCAPES:
            text = text.replace(escape, sign).replace(escape.lower(), sign)
    if b" " in text and b"+" not in text and b"-" not in text:
        start = _BREAK.sub(b"", text[:_CHECKED])
        if b" " in start and not _is_wrapped(start):
            raise BadParameter(
                f"The base64 in the field {field} has blanks where + belongs. In a URL-encoded form or query "
                "+ means a blank: write %2B there, use URL-safe base64, or send the bytes of the image.",
                field,
            )
    return text.translate(_URL_SAFE, _SPACES).rstrip(b"=")


def _is_wrapped(text: bytes) -> bool:
    """Return whether blanks separate lines of equal length."""
    width = text.index(b" ")
    breaks = text[width :: width + 1]
    return width >= _MIN_LINE and width % 4 == 0 and breaks.count(b" ") == len(breaks) == text.count(b" ")


def _fault(text: str, field: str) -> str:
    """Return what is wrong with a text that is not base64, and what to do, as full sentences."""
    if _ADDRESS.match(text):
        return f"The field {field} is an address, and the service fetches no files. {_SEND}"
    if len(text) <= 300 and _FILE.fullmatch(text):
        return f"The field {field} is the name of a file, not its content. {_SEND}"
    if text[:2] in ("b'", 'b"'):
        return (
            f"The field {field} is Python's notation of bytes. Make the text with decode(), not with str()."
        )
    if (foreign := _FOREIGN.search(text)) is not None:
        where = f"it has {foreign.group()!r} at position {foreign.start()}"
        return f"The field {field} is not base64: {where}. {_SEND}"
    if "=" in text.rstrip("=" + _SPACES.decode()):
        return f"The field {field} is not base64: it has = before its end. Send one image per field."
    return f"The field {field} is not complete base64: its end is missing. Send all of it."
