"""The pipe between the supervisor and a worker process.

The supervisor sends its `State` twice a second. The event loop of the worker applies it and answers whether
the worker is ready. So one pipe has three uses: every worker gets new API keys, the supervisor notices a
worker whose event loop does not answer, and a worker notices that the supervisor has ended.

At most one message is unanswered, and it fits into the buffer of the pipe. So neither side ever waits until
the other reads.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection


@dataclass(frozen=True)
class State:
    """What the supervisor tells the workers.

    Attributes:
        keys: the valid API keys.
        degraded: whether fewer workers are ready than are wanted.
    """

    keys: frozenset[str] = field(repr=False)
    degraded: bool


def follow(
    connection: Connection,
    apply: Callable[[State], None],
    is_ready: Callable[[], bool],
    on_orphaned: Callable[[], None],
) -> None:
    """Answer the supervisor from the running event loop.

    Args:
        connection: the worker's end of the pipe.
        apply: is called with each state that arrives.
        is_ready: returns whether the worker accepts connections.
        on_orphaned: is called once when the supervisor has ended.
    """
    loop = asyncio.get_running_loop()

    def receive() -> None:
        try:
            apply(connection.recv())
            connection.send(is_ready())
        except (EOFError, OSError):
            loop.remove_reader(connection.fileno())
            on_orphaned()

    loop.add_reader(connection.fileno(), receive)
