"""What waits at a device's owner: images for a net, or items for a function."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from numpy import ndarray

from app.runtime.session import joined
from app.runtime.ticket import CURRENT
from app.vision.pyramid import PageRule
from app.vision.spec import ModelSpec


class Net(Protocol):
    """A net on a device, as `OrtSession` is. `lanes` is how many calls of it may run side by side."""

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def provider(self) -> str: ...

    @property
    def pages(self) -> PageRule: ...

    @property
    def lanes(self) -> int: ...

    @property
    def outputs(self) -> Sequence[str]: ...

    def batch_sizes(self, images: ndarray) -> tuple[int, ...]: ...

    def nothing(self) -> list[ndarray]: ...

    def infer(self, images: ndarray, size: int) -> list[ndarray]: ...


class Entry:
    """Work that waits: a part of it is taken at a time, by several lanes if there are as many."""

    def __init__(self) -> None:
        self.ticket = CURRENT.get()
        self.done: Future[None] = Future()
        self._since = time.perf_counter()
        self._begun = False

    def start(self) -> None:
        """The first part was taken: the wait is over."""
        if not self._begun:
            self._begun = True
            if self.ticket is not None:
                self.ticket.waited += time.perf_counter() - self._since

    def fail(self, error: BaseException) -> None:
        """The caller gets the error. Called under the owner's lock, as `answer` is."""
        if not self.done.done():
            self.done.set_exception(error)

    def wanted(self) -> bool:
        """Whether it has not failed, and its request is not over; fails it where that is."""
        if self.done.done():
            return False
        try:
            if self.ticket is not None:
                self.ticket.check()
        except Exception as error:
            self.fail(error)
            return False
        return True


class Call(Entry):
    """Images for a net. `piece` is how many of them deal the call out evenly to the lanes."""

    def __init__(self, net: Net, images: ndarray, piece: int) -> None:
        super().__init__()
        self.net = net
        self.images = images
        self.piece = piece
        self.taken = 0
        self.parts: dict[int, list[ndarray]] = {}
        self._missing = len(images)

    @property
    def left(self) -> int:
        """Images no lane has taken."""
        return len(self.images) - self.taken

    @property
    def pieces(self) -> int:
        return -(-len(self.images) // self.piece)

    def may_join(self, other: "Call") -> bool:
        return self.net is other.net and self.images.shape[1:] == other.images.shape[1:]

    def answer(self, start: int, outputs: list[ndarray]) -> None:
        """The outputs of the images from `start` on."""
        self.parts[start] = outputs
        self._missing -= len(outputs[0])
        if self._missing == 0 and not self.done.done():
            self.done.set_result(None)

    def outputs(self) -> list[ndarray]:
        """The net's outputs for all images, in their order."""
        return joined([self.parts[start] for start in sorted(self.parts)])


class Each(Entry):
    """A function on many items."""

    def __init__(self, work: Callable[[Any], Any], items: Sequence[Any]) -> None:
        super().__init__()
        self.work = work
        self.items = items
        self.taken = 0
        self.results: list[Any] = [None] * len(items)
        self._missing = len(items)

    @property
    def left(self) -> int:
        """Items no lane has taken."""
        return len(self.items) - self.taken

    @property
    def pieces(self) -> int:
        return len(self.items)

    def answer(self, index: int, result: object) -> None:
        self.results[index] = result
        self._missing -= 1
        if self._missing == 0 and not self.done.done():
            self.done.set_result(None)
