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

_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


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


def console_policy(*, base: bool) -> str:
    """Return the Content-Security-Policy of the console: files of this host, and no inline script or style.

    Trusted types let the browser refuse text as HTML or as a script, so that no script can be injected by the
    data that the console shows.

    Args:
        base: whether the page has a base address on this host.
    """
    policy = _page_policy("'self'", "'self'", "'self'" if base else "'none'")
    return f"{policy}; require-trusted-types-for 'script'; trusted-types 'none'"


def swagger_policy(html: str) -> str:
    """Return the Content-Security-Policy of Swagger UI: files of this host, inline styles, its own scripts.

    Args:
        html: the page, whose inline scripts are allowed by their hashes.
    """
    hashes = (hashlib.sha256(script.encode()).digest() for script in _INLINE_SCRIPT.findall(html))
    scripts = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in hashes]
    return _page_policy(" ".join(["'self'", *scripts]), "'self' 'unsafe-inline'", "'none'")


def _page_policy(scripts: str, styles: str, base: str) -> str:
    return (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; img-src 'self' data: blob:; "
        f"connect-src 'self'; base-uri {base}; form-action 'none'; frame-ancestors 'none'"
    )
