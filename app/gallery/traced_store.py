"""A store whose calls are spans of the trace of a request. It is used only if the service sends traces."""

from collections.abc import Callable
from functools import wraps
from inspect import isgeneratorfunction
from typing import Any, ParamSpec, TypeVar, cast

from app.gallery.store import GalleryStore
from app.runtime import spans

P = ParamSpec("P")
T = TypeVar("T")

_FAST = frozenset({"version"})
"""Calls before each search that take microseconds."""


def traced(store: GalleryStore) -> GalleryStore:
    """Return the store with a span for each call, for example `store.add_face`, without its arguments."""
    return cast(GalleryStore, _TracedStore(store))


class _TracedStore:
    """Passes all calls on to a store, whatever methods its protocol has."""

    def __init__(self, store: GalleryStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        # The work of a generator is done in its iteration, between which the caller works.
        if name in _FAST or not callable(found) or isgeneratorfunction(found):
            return found
        return _in_span(f"store.{name}", found)


def _in_span(name: str, call: Callable[P, T]) -> Callable[P, T]:
    @wraps(call)
    def in_span(*args: P.args, **kwargs: P.kwargs) -> T:
        with spans.span(name):
            return call(*args, **kwargs)

    return in_span
