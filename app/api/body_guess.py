"""Guesses of what the bytes of a body are, so that an error can name what the client sent instead."""

import base64
import binascii
import re
from typing import NamedTuple

from app.errors import NotAnImage
from app.vision.file_types import MEDIA_TYPES, identify

_HEAD = 4096
"""Bytes of a body that are examined."""

_BYTES = "Send the bytes of the file."
_TEXT_MODE = "The client has to read and send the file as bytes, not as text."


class Guess(NamedTuple):
    """What a body looks like.

    Attributes:
        what: the kind, as a phrase after "is".
        media: the content type with which it would be read; None if there is none.
        remedy: what to do where an image is expected, as full sentences.
    """

    what: str
    media: str | None
    remedy: str


_FORM = Guess(
    "a multipart form",
    "multipart/form-data",
    "Send it with the content type multipart/form-data and its boundary. HTTP libraries write this header.",
)
_JSON = Guess("JSON", "application/json", "Send it with the content type application/json.")
_URL_ENCODED = Guess("a URL-encoded form", None, "Send the bytes of the image, a multipart form or JSON.")
_BASE64 = Guess("base64 text", None, f'{_BYTES} Base64 is read from JSON only: {{"image": "..."}}.')
_DATA_URL = _BASE64._replace(what="a data URL")
_ADDRESS = Guess("an address", None, f"The service fetches no files. {_BYTES}")

_PATTERNS = (
    (re.compile(rb"--[^\r\n]+\r?\ncontent-", re.IGNORECASE), _FORM),
    (re.compile(rb"(\xef\xbb\xbf)?\s*[{\[]"), _JSON),
    (re.compile(rb"data:[\w/+.;=-]*,", re.IGNORECASE), _DATA_URL),
    (re.compile(rb"(https?|ftp|file|s3|blob):/?/?\S", re.IGNORECASE), _ADDRESS),
    (re.compile(rb"[\w.-]+(\[\]|%5B%5D)?=[\w.%+&=*/,:;-]*\Z"), _URL_ENCODED),
    (
        re.compile(rb"\s*<(!doctype html|html|head|body)\b", re.IGNORECASE),
        Guess("an HTML page", None, "Check the address from which the client read the image."),
    ),
    (re.compile(rb"\x1f\x8b"), Guess("compressed with gzip", None, "Send it uncompressed.")),
    (re.compile(rb"PK\x03\x04"), Guess("a ZIP archive", None, "Send the images that it contains.")),
    (
        re.compile(
            rb"\x89PNG(\n|\r\r?\n?)|\xef\xbf\xbd(PNG|\xef\xbf\xbd\xef\xbf\xbd)|\xc2\x89PNG|\xc3\xbf\xc3\x98"
        ),
        Guess("damaged by a conversion to text", None, _TEXT_MODE),
    ),
)

_ALPHABET = re.compile(rb"[A-Za-z0-9+/_\s-]++=*+\s*+")
_NAME = re.compile(r"@?[^\0-\x1f\x7f]{1,200}")


def guess(body: bytes) -> Guess | None:
    """Return what a body looks like, by its first bytes; None if it looks like nothing known."""
    head = bytes(body[:_HEAD])
    if (name := identify(head)) is not None:
        what = name if name.startswith(("a ", "an ")) else f"an image ({name})"
        return Guess(what, MEDIA_TYPES.get(name, "image/*"), "")
    if _is_base64_image(head):
        return _BASE64
    for pattern, found in _PATTERNS:
        if pattern.match(head):
            return found
    return None


def check_image(data: bytes, field: str, encoded: bool = False) -> None:
    """Check that the data of an image field does not look like something else.

    Data of an unknown kind passes; the decoder refuses it.

    Args:
        data: the data of the field.
        field: name of the field, for the error.
        encoded: whether the data was sent in base64.

    Raises:
        NotAnImage: the data looks like something that is not an image. The error says what to do.
    """
    if not data or identify(data) is not None:
        return
    found = guess(data)
    if found is None and (text := _short_text(data)) is not None:
        raise NotAnImage(
            f"The {field} is the text {text!r}. {_BYTES} With curl, an @ precedes the name of the file: "
            f"-F {field}=@face.jpg or --data-binary @face.jpg.",
            field,
        )
    if found is None:
        return
    remedy = "It was encoded twice; encode it once." if encoded and found is _BASE64 else found.remedy
    detail = f"The {field} is {found.what}. {remedy}"
    raise NotAnImage(detail, field)


def _is_base64_image(head: bytes) -> bool:
    """Return whether the text is the base64 of a known file."""
    if len(head) < 32 or not _ALPHABET.fullmatch(head):
        return False
    text = b"".join(head.translate(bytes.maketrans(b"-_", b"+/")).split()).rstrip(b"=")
    try:
        return identify(base64.b64decode(text[: len(text) // 4 * 4])) is not None
    except binascii.Error:
        return False


def _short_text(data: bytes) -> str | None:
    if len(data) > 1000:
        return None
    try:
        text = data.decode().strip()
    except UnicodeDecodeError:
        return None
    return text if _NAME.fullmatch(text) and text.isprintable() else None
