"""Query parameters: what their schemas allow is read; no server runs for this."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from neurdicom.app import ROUTES
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.filters import filter_fields, parse_filters
from neurdicom.dicomweb.search_query import read_search
from neurdicom.errors import Invalid
from neurdicom.http.parameters import Parameter
from neurdicom.processing.value_query import FILTERS
from neurdicom.processing.value_query import parse_filters as parse_result_filters
from neurdicom.web.listing import LISTS
from tests.support.openapi import OPERATIONS

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
_BY_ROUTE = {(operation.path, operation.method): operation for operation in OPERATIONS}


def different_queries() -> list[Any]:
    """Operations with a query, one of those that share a declaration."""
    found: dict[Any, Any] = {}
    for route in ROUTES:
        for method, described in route.operations().items():
            if described.query:
                key = tuple((parameter.name, repr(parameter.schema)) for parameter in described.query)
                found.setdefault(key, pytest.param(route.path, method, described.query, id=f"{method} {route.path}"))
    return list(found.values())


def as_text(value: object) -> str:
    """Write a value into a query, and read it as Tornado does."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return _CONTROL.sub(" ", text).strip()


def reader(path: str, parameter: Parameter[Any, Any]) -> Callable[[str], object]:
    """What reads a parameter: for filters, which are read together, their own parser."""
    name = parameter.name
    for level in Level:
        if name in filter_fields(level) and parameter in LISTS[level].parameters:
            return lambda text: parse_filters(level, {name: [text]})
    if "results" in path and name in FILTERS:
        return lambda text: parse_result_filters({name: [text]})
    if path.startswith("/dicom-web") and path.endswith(("studies", "series", "instances")):
        return lambda text: read_search({name: [text]})
    return parameter.parse


@pytest.mark.parametrize(("path", "method", "query"), different_queries())
def test_what_a_schema_allows_is_read(path: str, method: str, query: tuple[Parameter[Any, Any], ...]) -> None:
    readers = {parameter.name: reader(path, parameter) for parameter in query}

    @given(case=_BY_ROUTE[path, method].as_strategy(generation_mode=GenerationMode.POSITIVE))
    @settings(
        max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), database=None, phases=[Phase.generate]
    )
    def run(case: schemathesis.Case) -> None:
        for name, value in case.query.items():
            try:
                readers[name](as_text(value))
            except Invalid as error:
                error.add_note(f"{name} is {value!r}")
                raise

    run()
