"""The search of a store that has its own index, in place of the indexes in memory."""

from collections.abc import Callable, Sequence
from threading import RLock
from typing import Protocol, cast

from jaxtyping import Float32
from numpy import ndarray

from app.gallery.index import Match
from app.gallery.records import Collection
from app.gallery.store import GalleryStore


class SearchingStore(GalleryStore, Protocol):
    """A store that searches vectors."""

    def search(
        self, collection: Collection, probes: Float32[ndarray, "n d"], top: int, hidden: Sequence[int] = ()
    ) -> list[list[Match]]:
        """Return for each probe the most similar people by their best face, by descending similarity.

        It may miss people, but each similarity is that of a face of the person.

        Args:
            collection: the collection.
            probes: vectors of length 1.
            top: maximum number of people for each probe.
            hidden: keys of faces that are not found.

        Raises:
            GalleryUnavailable: the store cannot search.
        """


class StoredIndexes:
    """Keeps no vectors, and notes only whether the store changed. See `Indexes` for its methods."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._version: int | None = None
        self._is_loaded = False

    @property
    def are_loaded(self) -> bool:
        """Whether the store was read."""
        return self._is_loaded

    def search(
        self,
        store: GalleryStore,
        collection: Collection,
        probes: Float32[ndarray, "n d"],
        top: int,
        hidden: Sequence[int] = (),
    ) -> list[list[Match]]:
        """Return the best people of a collection for each probe. The store is a `SearchingStore`."""
        return cast(SearchingStore, store).search(collection, probes, top, hidden)

    def expect_changes(self) -> None:
        """Let the next refresh call `on_change`."""
        with self._lock:
            self._version = None

    def refresh(self, store: GalleryStore, on_change: Callable[[], None]) -> None:
        """Call a function if the store changed since the last refresh.

        Raises:
            GalleryUnavailable: the store cannot be read.
        """
        with self._lock:
            version = store.version()
            if version != self._version:
                self._version = None
                on_change()
                self._version, self._is_loaded = version, True

    def forget(self) -> None:
        """Forget what was read."""
        with self._lock:
            self._version, self._is_loaded = None, False
