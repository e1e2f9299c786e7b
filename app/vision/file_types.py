"""File types by signature: selects the decoder of an image, and names other file types in error messages."""

import re

_BRANDS = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"heim": "HEIC",
    b"heis": "HEIC",
    b"hevc": "HEIC",
    b"hevx": "HEIC",
    b"mif1": "HEIF",
    b"msf1": "HEIF",
    b"jp2 ": "JPEG 2000",
    b"crx ": "a Canon raw file",
}

_SIGNATURES = (
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"RIFF....WEBP", "WebP"),
    (
        rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
        "BMP",
    ),  # the last bytes are the size of a known info header
    (rb"GIF8[79]a", "GIF"),
    (rb"II[*+]\0|MM\0[*+]", "TIFF"),
    (rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "JPEG 2000"),
    (rb"\0\0[\x01\x02]\0[^\0]\0", "an ICO or CUR icon"),
    (rb"%PDF-", "a PDF document"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript"),
    (rb"8BPS", "a Photoshop document"),
    (rb"DDS ", "a DDS texture"),
    (rb"qoif", "QOI"),
    (rb"P[1-7]\s", "a Netpbm image (PBM, PGM or PPM)"),
    (rb"\x01\xda[\0\x01][\x01\x02]", "an SGI image"),
    (rb"#\?RADIANCE|#\?RGBE", "Radiance HDR"),
    (rb"\x76\x2f\x31\x01", "OpenEXR"),
    (rb"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (rb"RIFF....AVI ", "an AVI video"),
)

_TABLE = tuple((re.compile(pattern, re.DOTALL), name) for pattern, name in _SIGNATURES)

_XML = (b"<svg", b"<?xml", b"<!--", b"<!DOCTYPE svg")

_MAX_HEAD = 4096

MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WebP": "image/webp",
    "BMP": "image/bmp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "HEIC": "image/heic",
    "HEIF": "image/heif",
}
"""Media type of each format that can be read."""

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WebP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "AVIF": (".avif",),
    "HEIC": (".heic", ".heics"),
    "HEIF": (".heif", ".hif"),
    "TIFF": (".tif", ".tiff"),
    "JPEG XL": (".jxl",),
    "JPEG 2000": (".jp2", ".j2k", ".jpx"),
}
"""File name suffixes by image format, in lower case, also of formats that are not read."""


def identify(data: bytes) -> str | None:
    """Return the name of a file format by its first bytes; None if they match no known format."""
    head = bytes(data[:_MAX_HEAD])
    for pattern, name in _TABLE:
        if pattern.match(head):
            return name
    if b"<svg" in head and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_XML):
        return "SVG"
    if head[4:8] == b"ftyp":
        return _brand(head)
    return None


def _brand(head: bytes) -> str:
    """Return the format of an ISO base media file by its brands; the general brand of HEIF comes last."""
    end = int.from_bytes(head[:4])
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, min(end, len(head)) - 3, 4))]
    names = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
    if not names:
        return "an MP4 or QuickTime video"
    return next((name for name in names if name != "HEIF"), "HEIF")
