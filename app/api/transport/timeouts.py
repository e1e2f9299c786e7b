"""How long a client may take."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ClientTimeouts:
    """Timeouts for a client, in seconds.

    Attributes:
        read: without receiving a byte of a body, or for a complete request head.
        body: for a complete body.
        min_body_rate: minimum bytes per second of a body, enforced after the read timeout.
        write: for the client to read a response.
    """

    read: float
    body: float
    min_body_rate: float
    write: float
