"""Telemetry: the interface by which the service reports events. Nothing is sent to other hosts."""

from typing import Literal

RejectReason = Literal[
    "queue-full",
    "deadline",
    "cancelled",
    "draining",
    "device-memory",
    "connections",
    "malformed",
    "idle",
    "slow-head",
    "slow-body",
    "slow-reader",
]
"""Why a request or a connection was refused or abandoned."""

GalleryAction = Literal[
    "create-collection",
    "delete-collection",
    "add-person",
    "update-person",
    "delete-person",
    "merge-people",
    "add-face",
    "delete-face",
    "move-face",
    "expire-person",
    "expire-face",
    "import",
    "export",
]
"""What the audit log of the gallery records."""


class Telemetry:
    """Receives events. This base class discards them.

    Events come from any thread, including the event loop. The methods of a subclass must be thread-safe, must
    return quickly and must not raise exceptions.
    """

    def stage(self, name: str, seconds: float) -> None:
        """Record the time that an image spent in a stage.

        Args:
            name: the stage, a key of `timing_ms` in responses.
            seconds: the time.
        """

    def faces(self, count: int) -> None:
        """Record the number of faces in a response."""

    def batch(self, model: str, stage: str, requests: int, items: int) -> None:
        """Record one call of a net.

        Args:
            model: name of the model.
            stage: stage of the net, for example `pnet` or `embedder`.
            requests: number of calls that were merged into it.
            items: number of images or vectors, without padding.
        """

    def device_memory_exhausted(self, model: str, stage: str, items: int) -> None:
        """Record a batch that the device had not enough memory for.

        Args:
            model: name of the model.
            stage: stage of the net, for example `pnet` or `embedder`.
            items: size of the batch, including padding.
        """

    def queue_depth(self, waiting: int, running: int) -> None:
        """Record the numbers of jobs that wait for a worker thread, and that have one.

        A job is a request, or one image of a batch.
        """

    def rejected(self, reason: RejectReason) -> None:
        """Record a request or a connection that was refused or abandoned."""

    def connections(self, count: int) -> None:
        """Record the number of open connections."""

    def gallery_size(self, collections: int, people: int, faces: int) -> None:
        """Record the numbers of collections, people and faces in the gallery."""

    def gallery_state(self, usable: bool, erasing: bool) -> None:
        """Record the state of the gallery.

        Args:
            usable: whether its file can be used.
            erasing: whether bytes of deleted vectors are still in a file.
        """

    def gallery_action(self, action: GalleryAction) -> None:
        """Record a change or an export of the gallery."""

    def identified(self, known: int, unknown: int) -> None:
        """Record the faces of an identified image.

        Args:
            known: number of faces that are somebody of the collection.
            unknown: number of the other faces.
        """


NULL_TELEMETRY = Telemetry()
"""Telemetry that discards all events: the default outside of the service."""
