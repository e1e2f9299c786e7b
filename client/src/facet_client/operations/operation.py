"""The descriptor by which one definition of an operation serves both clients.

An operation is a method that returns a `Call`. On a `Facet` the decorated method sends the call and returns
its result, and on an `AsyncFacet` it returns a coroutine that does. Type checkers see the parameters of the
definition and the type of the result.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from facet_client.calls import Call

if TYPE_CHECKING:
    from facet_client.clients import AsyncFacet, Facet

P = ParamSpec("P")
T = TypeVar("T")


class Operation(Generic[P, T]):
    """An operation of the service, as an attribute of the class of a client.

    Args:
        route: method and path pattern, such as `GET /collections/{collection}`.
        build: returns the call for the client and the arguments of the operation.

    Attributes:
        route: method and path pattern.
        build: returns the call.
    """

    def __init__(self, route: str, build: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self.route = route
        self.build = build

        @functools.wraps(build)
        def perform(client: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any:
            return client.perform(self.route, functools.partial(build, client, *args, **kwargs))

        self._perform = perform

    @overload
    def __get__(self, client: None, owner: type[Any]) -> Callable[Concatenate[Any, P], Any]: ...

    @overload
    def __get__(self, client: Facet, owner: type[Any]) -> Callable[P, T]: ...

    @overload
    def __get__(self, client: AsyncFacet, owner: type[Any]) -> Callable[P, Coroutine[Any, Any, T]]: ...

    def __get__(self, client: Any, owner: Any) -> Any:
        """Return the method of a client, or the function if it is asked of the class."""
        return self._perform.__get__(client, owner)  # type: ignore[attr-defined] # functions are descriptors


def operation(route: str) -> Callable[[Callable[Concatenate[Any, P], Call[T]]], Operation[P, T]]:
    """Return a decorator that makes an operation of a method that returns a call.

    Args:
        route: method and path pattern, such as `GET /collections/{collection}`.
    """
    return lambda build: Operation(route, build)


def operations_of(client: type[Any]) -> dict[str, str]:
    """Return the routes of all operations of the class of a client, by the name of the method."""
    return {
        name: value.route
        for base in client.__mro__
        for name, value in vars(base).items()
        if isinstance(value, Operation)
    }
