"""The indexes of all collections, which follow the store."""

import threading
from collections.abc import Callable, Mapping, Sequence

from jaxtyping import Float32
from numpy import ndarray

from app.gallery.index import IndexRetired, Match, VectorIndex
from app.gallery.records import Collection
from app.gallery.store import GalleryStore

_LOAD_FACES = 20_000
"""Maximum number of faces that one read of the store returns. A longer read would delay an erasure."""


class Indexes:
    """The indexes of the collections that can be searched. Its methods may be called from any thread.

    Args:
        new_index: makes the index of a collection, for the dimension of its vectors.
        is_searchable: whether the vectors of a collection can be compared with those of the loaded embedder.
    """

    def __init__(
        self, new_index: Callable[[int], VectorIndex], is_searchable: Callable[[Collection], bool]
    ) -> None:
        self._new_index = new_index
        self._is_searchable = is_searchable
        self._lock = threading.RLock()
        self._indexes: dict[int, VectorIndex] = {}
        self._skipped: set[int] = set()  # collections that cannot be searched
        self._last_change: int | None = None  # None: nothing is loaded
        self._version: int | None = None  # None: the next refresh looks for changes

    @property
    def are_loaded(self) -> bool:
        """Whether the indexes were loaded."""
        return self._last_change is not None

    def search(
        self,
        store: GalleryStore,
        collection: Collection,
        probes: Float32[ndarray, "n d"],
        top: int,
        hidden: Sequence[int] = (),
    ) -> list[list[Match]]:
        """Return the best people of a collection for each probe. See `VectorIndex.search`.

        Raises:
            IndexRetired: the indexes were forgotten since the last refresh, or the collection had faces that
                are in no index. Refresh, and search the present collection.
        """
        with self._lock:
            index = self._indexes.get(collection.key)
            if index is None and (collection.faces or not self.are_loaded):
                raise IndexRetired
        return index.search(probes, top, hidden) if index is not None else [[] for _ in probes]

    def expect_changes(self) -> None:
        """Let the next refresh look for changes, whatever the version of the store is."""
        with self._lock:
            self._version = None

    def refresh(self, store: GalleryStore, on_change: Callable[[], None]) -> None:
        """Take over what changed in the store since the last refresh.

        Args:
            store: the store.
            on_change: called after a change was taken over, before any other thread refreshes.

        Raises:
            GalleryUnavailable: the store cannot be read. If a part was read, the next refresh loads
                everything again.
        """
        with self._lock:
            known, self._version = self._version, None
            version = store.version()
            if version == known:
                self._version = known
                return
            try:
                found = None if self._last_change is None else store.changes(self._last_change)
                if found is None:
                    self._load_all(store)
                else:
                    latest, changes = found
                    last = {change.face: change for change in changes}
                    self._apply(store, {face: (c.collection, c.person) for face, c in last.items()})
                    self._last_change = latest
                on_change()
                self._version = version
            except BaseException:
                self.forget()
                raise

    def forget(self) -> None:
        """Overwrite all indexes. The next refresh loads them again."""
        with self._lock:
            for index in self._indexes.values():
                index.retire()
            self._indexes, self._skipped = {}, set()
            self._last_change = self._version = None

    def _load_all(self, store: GalleryStore) -> None:
        self.forget()
        latest = store.last_change()
        for collection in store.collections():
            if not self._is_searchable(collection):
                self._skipped.add(collection.key)
                continue
            index = self._indexes[collection.key] = self._new_index(collection.dimension)
            after = 0
            while len((batch := store.load(collection.key, after, _LOAD_FACES)).faces):
                index.add(batch)
                after = batch.faces[-1]
        self._last_change = latest

    def _apply(self, store: GalleryStore, changes: Mapping[int, tuple[int, int | None]]) -> None:
        """Apply changes to the indexes.

        Args:
            store: the store.
            changes: for each changed face its collection, and its person now; None for a deleted face.
        """
        unknown = {key for key, _ in changes.values()} - self._indexes.keys() - self._skipped
        if unknown:
            for collection in store.collections():
                if collection.key in unknown and self._is_searchable(collection):
                    self._indexes[collection.key] = self._new_index(collection.dimension)
                elif collection.key in unknown:
                    self._skipped.add(collection.key)
        for key, index in list(self._indexes.items()):
            mine = {face: person for face, (owner, person) in changes.items() if owner == key}
            if not mine:
                continue
            index.remove(face for face, person in mine.items() if person is None)
            present = [face for face, person in mine.items() if person is not None]
            for start in range(0, len(present), _LOAD_FACES):
                index.add(store.vectors_by_key(present[start : start + _LOAD_FACES]))
            if len(index) == 0:
                del self._indexes[key]
