"""Queries and bodies: what their schemas allow is what is read; no server runs for this."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode

from neurdicom.app import ROUTES
from neurdicom.archive.selection import Selection
from neurdicom.dicom.edits.values import check_changes
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.filters import filter_fields, parse_filters
from neurdicom.dicomweb.search_query import read_search
from neurdicom.errors import Invalid
from neurdicom.http.parameters import Parameter
from neurdicom.nodes.fields import parse_node
from neurdicom.processing.jobs import options_of, tool_of
from neurdicom.processing.value_query import FILTERS
from neurdicom.processing.value_query import parse_filters as parse_result_filters
from neurdicom.web.listing import LISTS
from neurdicom.web.schemas import changes_schema
from tests.support.openapi import OPERATIONS

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
_FEW = settings(
    max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), database=None, phases=[Phase.generate]
)
_BY_ROUTE: dict[tuple[str, str], Any] = {(operation.path, operation.method): operation for operation in OPERATIONS}


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
    @_FEW
    def run(case: schemathesis.Case) -> None:
        for name, value in case.query.items():
            try:
                readers[name](as_text(value))
            except Invalid as error:
                error.add_note(f"{name} is {value!r}")
                raise

    run()


def read_job_request(body: Mapping[str, Any]) -> None:
    tool_of(body)
    options_of(body)
    Selection.from_document(body)


def read_rule(body: Mapping[str, Any]) -> None:
    Selection.from_document({"level": "instances", "filters": body["conditions"]})
    tool_of(body["action"])
    options_of(body["action"])


def read_node(body: Mapping[str, Any]) -> None:
    # JSON Schema has no name for the characters that are printable, which these must be.
    parse_node({name: "x" if value and name in ("username", "password") else value for name, value in body.items()})


BODIES: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "put /api/patients/{id}": lambda body: check_changes(Level.PATIENT, body),
    "put /api/studies/{id}": lambda body: check_changes(Level.STUDY, body),
    "put /api/series/{id}": lambda body: check_changes(Level.SERIES, body),
    "put /api/instances/{id}": lambda body: check_changes(Level.INSTANCE, body),
    "post /api/dicom_nodes": read_node,
    "post /api/process": read_job_request,
    "post /api/rules": read_rule,
}


def without_fractions(value: Any) -> Any:
    """Write 3.0, an integer to JSON Schema, as 3."""
    if isinstance(value, dict):
        return {name: without_fractions(each) for name, each in value.items()}
    if isinstance(value, list):
        return [without_fractions(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@pytest.mark.parametrize("name", BODIES)
def test_what_a_body_s_schema_allows_is_read(name: str) -> None:
    method, path = name.split()

    @given(case=_BY_ROUTE[path, method].as_strategy(generation_mode=GenerationMode.POSITIVE))
    @_FEW
    def run(case: schemathesis.Case) -> None:
        body = without_fractions(case.body)
        try:
            BODIES[name](body)
        except Invalid as error:
            error.add_note(f"the body is {body}")
            raise

    run()


@pytest.mark.parametrize("blank", ["", " ", "\xa0", "\u3000 "])
def test_a_text_of_blanks_among_others_is_in_neither(blank: str) -> None:
    values = ["1", blank]
    schema = changes_schema(Level.PATIENT)["properties"]["other_patient_ids"]
    assert Draft202012Validator(schema).is_valid(["1"])
    assert not Draft202012Validator(schema).is_valid(values)
    with pytest.raises(Invalid, match="empty value"):
        check_changes(Level.PATIENT, {"other_patient_ids": values})
