"""Dynamic batching: on a GPU, waiting calls of one net from different requests are merged into one batch.

On a CPU the nets do not benefit from larger batches and use the plain scheduler
(docs/decisions/0024-dynamic-batching-on-gpu-only.md). Searches of the gallery are merged on every device
(docs/decisions/0038-gallery-search.md).
"""

from app.runtime.device import split_batches
from app.runtime.scheduler import DeviceScheduler, Share
from app.runtime.work_items import InferenceCall


class BatchingScheduler(DeviceScheduler):
    """A scheduler that merges waiting calls of the same net and image shape.

    It does not wait for further calls. Calls that arrive while the device is busy form the next batch.
    """

    def _next_batch(self, call: InferenceCall) -> tuple[list[Share], int]:
        calls = [call, *(c for c in self._queue if isinstance(c, InferenceCall) and _can_join(c, call))]
        sizes = call.net.batch_sizes(call.images)
        _, room, size = split_batches(sum(c.left for c in calls), sizes)[0]
        shares: list[Share] = []
        for member in calls:
            count = min(room, member.left)
            if count:
                shares.append((member, member.take(count), count))
                room -= count
        for member in calls[1:]:
            if not member.left:
                self._queue.remove(member)
        return shares, size


def _can_join(other: InferenceCall, call: InferenceCall) -> bool:
    same_shape = other.images.shape[1:] == call.images.shape[1:]
    return other.net is call.net and same_shape and other.wanted()
