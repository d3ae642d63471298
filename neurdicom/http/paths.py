"""Paths of requests, as the routes have them: without a proxy's prefix, and without empty elements.

An empty element where a route has an id stays, and makes the path unknown: what follows it would be taken for the id.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cached_property

from neurdicom.http.routing import Route


class RequestPaths:
    """Reader of the paths of requests.

    Parameters
    ----------
    routes : iterable of Route
        The routes.
    prefix : str
        Path below which clients reach them; a proxy may have taken it away, or not.
    """

    def __init__(self, routes: Iterable[Route], prefix: str = "") -> None:
        self._routes = tuple(routes)
        self._prefix = prefix
        self._begins = {route.path.split("/")[1] for route in self._routes}

    def read(self, path: str) -> str:
        """Return the path that the routes match; the same where nothing has to be taken away."""
        if path.startswith("//"):
            path = "/" + path.lstrip("/")
        if self._prefix and path.startswith(self._prefix):
            path = self._without_prefix(path)
        return self._without_empty(path) if "//" in path and path.startswith("/") else path

    def _without_prefix(self, path: str) -> str:
        """Take the prefix away, unless a proxy has done so and the path is one of ours that begins alike."""
        rest = path[len(self._prefix) :]
        if rest and not rest.startswith("/"):
            return path
        return (rest or "/") if rest.lstrip("/").split("/")[0] in self._begins else path

    def _without_empty(self, path: str) -> str:
        """Take empty elements away, unless one of them stands for an id."""
        return path if self._with_empty_id.match(path) else re.sub("/{2,}", "/", path)

    @cached_property
    def _with_empty_id(self) -> re.Pattern[str]:
        """Pattern of paths in which an id is empty, and what follows the id in a route follows."""
        found = (pattern for route in self._routes for pattern in _patterns_with_empty_id(route.path))
        return re.compile("|".join(dict.fromkeys(found)))


def _patterns_with_empty_id(template: str) -> Iterator[str]:
    """Make a pattern for each placeholder of a path template that has something behind it."""
    elements = template.split("/")[1:]
    for place, element in enumerate(elements[:-1]):
        if element.startswith("{"):
            before = "".join("/+[^/]*" if each.startswith("{") else f"/+{re.escape(each)}" for each in elements[:place])
            yield f"{before}/+/{re.escape(elements[place + 1])}(?:/|$)"
