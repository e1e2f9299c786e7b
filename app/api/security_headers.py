"""Security headers of all responses, and the Content-Security-Policy of the pages."""

import base64
import hashlib
import re
from collections.abc import Iterable

_DEFAULTS = {
    b"content-security-policy": (
        b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
}

_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def with_security_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers, completed by the default security headers that are missing.

    A response without `Cache-Control` and `ETag` gets `Cache-Control: no-store`, so that only static files
    are cached.
    """
    complete = list(headers)
    names = {name.lower() for name, _ in complete}
    complete += [(name, value) for name, value in _DEFAULTS.items() if name not in names]
    if not names & {b"cache-control", b"etag"}:
        complete.append((b"cache-control", b"no-store"))
    return complete


def page_policy(html: str, *, assets: bool = False, base: bool = False) -> str:
    """Return a Content-Security-Policy that allows only the inline scripts and styles of a page, by hash.

    Args:
        html: the page.
        assets: whether to allow scripts and styles of this host and inline styles too. Swagger UI needs them.
        base: whether the page has a base address on this host.
    """
    scripts = " ".join(_hashes(html, "script"))
    styles = " ".join(_hashes(html, "style"))
    if assets:
        scripts, styles = f"'self' {scripts}", "'self' 'unsafe-inline'"
    base_uri = "'self'" if base else "'none'"
    return (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; img-src 'self' data: blob:; "
        f"connect-src 'self'; base-uri {base_uri}; form-action 'none'; frame-ancestors 'none'"
    )


def _hashes(html: str, tag: str) -> list[str]:
    return [
        f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
        for name, content in _INLINE.findall(html)
        if name == tag
    ]
