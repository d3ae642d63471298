"""Routes: path templates with their handlers, and the services that each handler declares."""

import inspect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tornado.routing import URLSpec

from neurdicom.http.base import ApiHandler
from neurdicom.http.context import HttpContext
from neurdicom.http.operation import METHODS, Operation


@dataclass(frozen=True, slots=True)
class Route:
    """Path template such as `/api/studies/{id}`, and its handler.

    With `deep` the last placeholder takes the rest of the path, slashes included.
    """

    path: str
    handler: type[ApiHandler]
    deep: bool = False

    @property
    def names(self) -> list[str]:
        """Names of the placeholders."""
        return re.findall(r"\{(\w+)\}", self.path)

    def operations(self) -> dict[str, Operation]:
        """Map HTTP methods in lower case to their operations, in the order of RFC 9110."""
        found = {method: getattr(getattr(self.handler, method), "operation", None) for method in METHODS}
        return {method: described for method, described in found.items() if described}

    def to_url_spec(self, context: HttpContext, services: Sequence[object]) -> URLSpec:
        """Make Tornado's form of the route; each `{name}` becomes a positional argument."""
        pattern = "".join(
            "([^/]+)" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{\w+\})", self.path)
        )
        if self.deep:
            pattern = pattern.removesuffix("([^/]+)") + "(.+)"
        return URLSpec(pattern + "/?", self.handler, {"context": context, "services": supply(self.handler, services)})


class RouteTable(tuple[Route, ...]):
    """All routes of a server, for the code that describes or counts them."""


def declared_services(handler: type[ApiHandler]) -> dict[str, Any]:
    """Collect the services that a handler uses: the annotated attributes of its classes that have no value."""
    own = [each for each in reversed(handler.__mro__) if issubclass(each, ApiHandler) and each is not ApiHandler]
    return {
        name: kind for each in own for name, kind in inspect.get_annotations(each).items() if not hasattr(handler, name)
    }


def supply(handler: type[ApiHandler], services: Iterable[object]) -> dict[str, object]:
    """Find the one service of each type that a handler declares. Raises `TypeError` where there is none, or several."""
    services = tuple(services)
    found: dict[str, object] = {}
    for name, kind in declared_services(handler).items():
        fitting = [each for each in services if isinstance(each, kind)]
        if len(fitting) != 1:
            raise TypeError(f"{handler.__name__}.{name} needs one service {kind.__name__}; {len(fitting)} are there")
        found[name] = fitting[0]
    return found
