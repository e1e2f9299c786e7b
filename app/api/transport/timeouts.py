"""Client timeouts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ClientTimeouts:
    """Timeouts for clients.

    Attributes:
        read: maximum seconds without receiving a byte of a body, and for a complete request head.
        body: maximum seconds for a complete body.
        min_body_rate: minimum upload rate of a body in bytes per second, enforced after the read timeout.
        write: maximum seconds for a client to read its response.
    """

    read: float
    body: float
    min_body_rate: float
    write: float
