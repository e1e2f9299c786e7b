"""Memory budgets: a limit on the bytes of many requests together.

If a budget is used up, the client that makes least progress for the memory it uses gives way. So clients that
stop in the middle cannot keep the memory from others.
"""

import asyncio
from typing import Protocol

from app.api.transport.recent_bytes import RecentBytes


class Client(Protocol):
    """The connection of a client.

    Attributes:
        recent: the bytes that the client has sent or read lately.
        gave_way: whether its request gave way to others.
    """

    recent: RecentBytes
    gave_way: bool

    @property
    def awaits_client(self) -> bool:
        """Whether the service waits for the client: for a head, a body, or the reading of a response."""

    def give_way(self) -> None:
        """End the request in hand, because other clients need its memory."""


class MemoryBudget:
    """Memory that requests share.

    Args:
        limit: maximum number of bytes.

    Attributes:
        limit: the same number.
        used: number of bytes in use.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._shares: set[Share] = set()

    def share(self, client: Client | None) -> "Share":
        """Return the share of a new request, which uses no memory yet.

        Args:
            client: its connection; None if it cannot give way.
        """
        return Share(self, client)


class Share:
    """The part of a budget that one request uses.

    While the request waits for its client, it gives way if another client makes more progress for the memory
    it uses.

    Args:
        budget: the budget.
        client: the connection of the client; None if the request cannot give way.
    """

    def __init__(self, budget: MemoryBudget, client: Client | None) -> None:
        self._budget = budget
        self._client = client
        self._size = 0

    def take(self, size: int) -> bool:
        """Use more memory.

        Args:
            size: number of bytes.

        Returns:
            Whether there was room, or another request gave way. If not, nothing is taken.
        """
        budget = self._budget
        if budget.used + size > budget.limit:
            now = asyncio.get_running_loop().time()
            own = self._cost(now, size)
            while budget.used + size > budget.limit:
                rivals = (share for share in budget._shares if share is not self and share._awaits_client())
                slowest = max(rivals, key=lambda share: share._cost(now), default=None)
                if slowest is None or slowest._cost(now) <= own:
                    return False
                slowest._give_way()
        budget.used += size
        self._size += size
        budget._shares.add(self)
        return True

    def release(self) -> None:
        """Return the memory to the budget."""
        self._budget._shares.discard(self)
        self._budget.used -= self._size
        self._size = 0

    def _cost(self, now: float, more: int = 0) -> float:
        """Return the memory in use, and `more`, per byte that the client has sent or read lately."""
        recent = self._client.recent.count(now) if self._client is not None else 0
        return (self._size + more) / max(recent, 1e-9)

    def _awaits_client(self) -> bool:
        return self._client is not None and self._client.awaits_client

    def _give_way(self) -> None:
        self.release()
        assert self._client is not None
        self._client.give_way()
