"""A fake connection, as the budgets and the table of connections see it."""

from app.api.transport.recent_bytes import RecentBytes


class FakeClient:
    """A client that has sent so many bytes just before a time, and records that it gives way.

    Args:
        recent: bytes that it has sent or read lately.
        idle: whether it waits for a head.
        awaits: whether the service waits for it.
        now: the time.
    """

    def __init__(self, recent: float = 0, idle: bool = False, awaits: bool = True, now: float = 0) -> None:
        self.recent = RecentBytes(now)
        self.recent._count = recent
        self.gave_way = False
        self.idle = idle
        self.awaits_client = awaits

    def give_way(self) -> None:
        self.gave_way = True
