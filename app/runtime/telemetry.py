"""Telemetry: what the service reports about its work, without knowing who collects it."""

from typing import Literal

RejectReason = Literal[
    "queue-full",
    "deadline",
    "cancelled",
    "draining",
    "device-memory",
    "connections",
    "malformed",
    "slow-head",
    "slow-reader",
]
"""Why a request or a connection was refused or abandoned."""


class Telemetry:
    """Receives events from any thread, the event loop included. This base class discards them.

    Subclasses must be thread-safe, must return quickly and must not raise.
    """

    def stage(self, name: str, seconds: float) -> None:
        """Record the time that an answered picture spent in a stage of its `timing_ms`."""

    def faces(self, count: int) -> None:
        """Record the number of faces in an answer."""

    def batch(self, model: str, stage: str, requests: int, items: int) -> None:
        """Record one call of a net (`pnet`, `embedder`, ...): items, and requests that they came from."""

    def device_memory_exhausted(self, model: str, stage: str, items: int) -> None:
        """Record a batch that the device had no memory for; the scheduler retries with a smaller one."""

    def queue_depth(self, waiting: int, running: int) -> None:
        """Record the requests that wait for a worker thread, and those that have one."""

    def rejected(self, reason: RejectReason) -> None:
        """Record a request or a connection that was refused or abandoned."""

    def connections(self, count: int) -> None:
        """Record the number of open connections."""


NULL_TELEMETRY = Telemetry()
"""The default telemetry of the command line, of training and of tests."""
