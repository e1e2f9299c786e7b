"""The open connections of a process: their maximum number, in all and per client, and which one gives way."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Protocol

from app.api.transport.memory_budget import Client
from app.api.transport.recent_bytes import START

Network = IPv4Network | IPv6Network

_IPV6_PREFIX = 64  # one client usually has a whole network of this size


class Connection(Client, Protocol):
    """A connection in the table."""

    @property
    def idle(self) -> bool:
        """Whether the connection waits for a request head."""


class ConnectionTable:
    """The connections in use, without those that are refused or closing.

    Args:
        limit: maximum number of connections.
        per_client: maximum number of connections of one address, or of one /64 network of IPv6.
        exempt: networks whose addresses have no limit of their own, because they are proxies.

    Attributes:
        limit: maximum number of connections.
        per_client: maximum number of connections of one client.
    """

    def __init__(self, limit: int, per_client: int | None = None, exempt: Sequence[Network] = ()) -> None:
        self.limit = limit
        self.per_client = limit if per_client is None else per_client
        self._exempt = tuple(exempt)
        self._owners: dict[Connection, str] = {}
        self._counts: Counter[str] = Counter()

    def owner_of(self, address: str) -> str:
        """Return the client that an address belongs to, empty if it has no limit of its own."""
        return _owner_of(address, self._exempt)

    def enter(self, connection: Connection, owner: str) -> bool:
        """Add a connection, if neither limit is reached.

        Args:
            connection: the connection.
            owner: its client, as `owner_of` returns it.

        Returns:
            Whether it was added.
        """
        if len(self._owners) >= self.limit or self.exhausted_by(owner):
            return False
        self._owners[connection] = owner
        self._counts[owner] += 1
        return True

    def displace(self, connection: Connection, owner: str) -> bool:
        """Add a connection whose request has begun to arrive. If a limit is reached, another one gives way.

        That is the idle connection whose client has sent least lately, as a rule the one that has been idle
        longest. If none is idle, it is the connection with the least progress of those that wait for their
        client.

        Args:
            connection: the connection.
            owner: its client, as `owner_of` returns it.

        Returns:
            Whether it was added. If not, all connections work, or move more bytes than a new client may.
        """
        if self.enter(connection, owner):
            return True
        now, alone = asyncio.get_running_loop().time(), self.exhausted_by(owner)
        rivals = [
            rival
            for rival, other in self._owners.items()
            if rival.awaits_client and (other == owner or not alone)
        ]
        slowest = min(rivals, key=lambda rival: (not rival.idle, rival.recent.count(now)), default=None)
        if slowest is None or (not slowest.idle and slowest.recent.count(now) > START):
            return False
        self.leave(slowest)
        slowest.give_way()
        return self.enter(connection, owner)

    def exhausted_by(self, owner: str) -> bool:
        """Return whether a client has as many connections as one client may have."""
        return bool(owner) and self._counts[owner] >= self.per_client

    def leave(self, connection: Connection) -> None:
        """Remove a connection that is closed, refused or closing. Further calls have no effect."""
        owner = self._owners.pop(connection, None)
        if owner is not None:
            self._counts[owner] -= 1
            if not self._counts[owner]:
                del self._counts[owner]


@lru_cache(maxsize=1024)
def _owner_of(address: str, exempt: tuple[Network, ...]) -> str:
    try:
        found = ip_address(address)
    except ValueError:  # a Unix socket has no address
        return ""
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if any(found in network for network in exempt):
        return ""
    if isinstance(found, IPv6Address):
        return str(IPv6Network((found, _IPV6_PREFIX), strict=False))
    return str(found)
