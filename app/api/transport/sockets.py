"""Options of the sockets of connections."""

import asyncio
import socket


def send_at_once(transport: asyncio.Transport) -> None:
    """Disable Nagle's algorithm, which delays a response on a persistent connection by about 40 ms.

    asyncio disables it only if the protocol number of the socket is set, which is not the case for the
    sockets of several worker processes.

    Args:
        transport: the transport of the connection.
    """
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
