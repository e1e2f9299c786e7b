"""What the pipeline tells of its work as it happens, for metrics that it knows nothing of."""

from typing import Literal, Protocol, runtime_checkable

Reason = Literal["queue-full", "deadline", "cancelled", "draining", "device-memory"]
"""Why a request was given up: no place for it, too late, its client gone, the service ending, no memory."""


@runtime_checkable
class Observer(Protocol):
    """Told from any thread, the event loop too: methods are quick, thread-safe and never raise."""

    def stage(self, name: str, seconds: float) -> None:
        """An answered picture spent so long in a stage of its `timing_ms`, `queue` and `total` too."""

    def batch(self, model: str, kind: str, requests: int, items: int) -> None:
        """A model's net (`pnet`, `embedder`, ...) ran once on so many items of so many requests."""

    def queue_depth(self, waiting: int, running: int) -> None:
        """So many requests now wait for a worker, and so many are at work."""

    def rejected(self, reason: Reason) -> None:
        """A request was turned away or given up."""

    def faces(self, count: int) -> None:
        """An answer holds so many faces."""

    def device_memory(self, model: str, kind: str, items: int) -> None:
        """The device had no memory for so many items of a net at once; half of them are tried next."""


class Silent:
    """An observer that does nothing."""

    def stage(self, name: str, seconds: float) -> None:
        pass

    def batch(self, model: str, kind: str, requests: int, items: int) -> None:
        pass

    def queue_depth(self, waiting: int, running: int) -> None:
        pass

    def rejected(self, reason: Reason) -> None:
        pass

    def faces(self, count: int) -> None:
        pass

    def device_memory(self, model: str, kind: str, items: int) -> None:
        pass


SILENT: Observer = Silent()
