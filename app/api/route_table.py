"""The paths of the service and their methods, for errors and for the method OPTIONS."""

from collections.abc import Iterable

from starlette.routing import BaseRoute, Route

from app.service.names import nearest

_FILES = ("GET", "HEAD")
"""Methods of the paths that no route has: the files of the console and of the page `/docs`."""


class RouteTable:
    """The paths of the service and their methods.

    Args:
        routes: the routes. Those that are no single path are left out.
    """

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._routes = [route for route in routes if isinstance(route, Route)]

    def methods(self, path: str) -> list[str]:
        """Return the methods of a path that exists, sorted. Every path supports OPTIONS.

        Args:
            path: the path, without the root path.
        """
        found = {method for route in self._matching(path) for method in route.methods or ()}
        return sorted({*(found or _FILES), "OPTIONS"})

    def nearest(self, path: str) -> str | None:
        """Return the path that is most like one that does not exist; None if none is like it.

        Args:
            path: the path, without the root path.
        """
        if self._matching(path):
            return None
        return nearest(path, (route.path for route in self._routes if "{" not in route.path))

    def _matching(self, path: str) -> list[Route]:
        return [route for route in self._routes if route.path_regex.match(path)]
