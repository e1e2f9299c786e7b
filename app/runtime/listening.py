"""The sockets on which the service listens."""

import errno
import logging
import socket
from contextlib import ExitStack
from typing import Any

from app.errors import CannotStart

log = logging.getLogger(__name__)

_BACKLOG = 2048

_ANY_ADDRESS = "::"

_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""Errors for an address of a protocol that this machine does not use, such as ::1 without IPv6."""


def listen(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on all addresses of a host, and log the address of the service.

    Args:
        host: an IP address, or a name of this machine. `::` accepts connections over IPv4 too.
        port: the port. 0 picks a free one, the same for all addresses.

    Raises:
        CannotStart: the host is not an address of this machine, or the port is in use or not permitted.
    """
    try:
        sockets = _listen_on_all(_addresses(host, port))
    except (OSError, UnicodeError) as error:
        raise CannotStart(_explain(host, port, error)) from error
    shown = f"[{host}]" if ":" in host else host
    log.info("Listening on http://%s:%d", shown, sockets[0].getsockname()[1])
    return sockets


def _addresses(host: str, port: int) -> list[tuple[int, Any]]:
    """Return the addresses of a host, each with its family and in the form that `socket.bind` takes."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _listen_on_all(addresses: list[tuple[int, Any]]) -> list[socket.socket]:
    """Return a socket for each address that this machine has.

    Raises:
        OSError: the machine has none of them, or one of them is in use or not permitted.
    """
    sockets: list[socket.socket] = []
    absent = None
    with ExitStack() as undo:
        for family, (ip, port, *rest) in addresses:
            port = sockets[0].getsockname()[1] if sockets else port
            opened = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(ip != _ANY_ADDRESS))
            try:
                opened.bind((ip, port, *rest))
                opened.listen(_BACKLOG)
                sockets.append(opened)
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                opened.close()
                absent = error
        if absent is not None and not sockets:
            raise absent
        undo.pop_all()
    return sockets


def _explain(host: str, port: int, error: OSError | UnicodeError) -> str:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    match getattr(error, "errno", None):
        case errno.EADDRINUSE:
            return (
                f"Port {port} of {host} is in use by another program. Stop the program, or choose another "
                "port with FACE_PORT or --port (PORT of make serve)."
            )
        case errno.EACCES:
            return (
                f"The service is not allowed to listen on port {port}. Choose a port above 1023 with "
                "FACE_PORT or --port (PORT of make serve)."
            )
        case _:
            return (
                f"The service cannot listen on {host!r}: {reason}. Set FACE_HOST or --host (HOST of make "
                "serve) to an address of this machine, such as 127.0.0.1 or 0.0.0.0."
            )
