"""Routes supply each handler with the services that it declares, by their types."""

import pytest

from neurdicom.app.server import ROUTES
from neurdicom.http.base import ApiHandler
from neurdicom.http.routing import RouteTable, declared_services, supply


class ClockService:
    """A service."""


class TimeHandler(ApiHandler):
    clock: ClockService
    zone: str = "UTC"


class DateHandler(TimeHandler):
    table: RouteTable


def test_services_are_the_annotations_without_a_value() -> None:
    assert declared_services(DateHandler) == {"clock": ClockService, "table": RouteTable}


def test_each_service_is_found_by_its_type() -> None:
    clock = ClockService()
    assert supply(DateHandler, [ROUTES, clock]) == {"clock": clock, "table": ROUTES}


@pytest.mark.parametrize("services", [[], [ClockService(), ClockService()]])
def test_a_service_that_is_missing_or_ambiguous_stops_the_start(services: list[object]) -> None:
    with pytest.raises(TypeError, match=r"TimeHandler\.clock needs one service ClockService"):
        supply(TimeHandler, services)


def test_handlers_of_routes_declare_few_services() -> None:
    assert max(len(declared_services(route.handler)) for route in ROUTES) <= 6
