"""Queries and bodies: what their schemas allow is what is read; no server runs for this."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode

from neurdicom.app.server import ROUTES
from neurdicom.archive.selection import Selection
from neurdicom.dicom.edits.schemas import changes_schema
from neurdicom.dicom.edits.values import check_changes
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.filters import filter_fields, parse_filters
from neurdicom.dicom.query.named_keys import parse_keys
from neurdicom.dicomweb.search_query import read_search
from neurdicom.errors import Invalid
from neurdicom.http.parameters import Parameter, ParameterGroup
from neurdicom.nodes.fields import parse_node
from neurdicom.nodes.request_schemas import FIND, RETRIEVAL, SENDING
from neurdicom.processing.run import PROCESS_REQUEST
from neurdicom.processing.value_query import FILTERS
from neurdicom.processing.value_query import parse_filters as parse_result_filters
from neurdicom.rules.rule import Rule
from neurdicom.security.user_schemas import NEW_USER, USER_CHANGES
from neurdicom.web.listing import LISTS
from tests.support.openapi import OPERATIONS

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
_FEW = settings(
    max_examples=settings().max_examples // 10,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)
_BY_ROUTE: dict[tuple[str, str], Any] = {(operation.path, operation.method): operation for operation in OPERATIONS}


def members(query: Iterable[Parameter[Any, Any] | ParameterGroup[Any]]) -> list[Parameter[Any, Any]]:
    """The parameters of a query, those of groups too."""
    return [one for each in query for one in (each.members if isinstance(each, ParameterGroup) else [each])]


def different_queries() -> list[Any]:
    """Operations with a query: the fewest in their order that have each parameter, as it is read and described."""
    found, known = [], set()
    for route in ROUTES:
        for method, described in route.operations().items():
            ways = {(one.name, repr(one.schema), way(route.path, one)) for one in members(described.query)}
            if not ways <= known:
                known |= ways
                found.append(pytest.param(route.path, method, described.query, id=f"{method} {route.path}"))
    return found


def as_text(value: object) -> str:
    """Write a value into a query, and read it as Tornado does."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return _CONTROL.sub(" ", text).strip()


def way(path: str, parameter: Parameter[Any, Any]) -> Level | str:
    """How a parameter is read: a filter of a level, of results or of DICOMweb, or by itself."""
    for level in Level:
        if parameter.name in filter_fields(level) and parameter in LISTS[level].parameters:
            return level
    if "results" in path and parameter.name in FILTERS:
        return "results"
    is_search = path.startswith("/dicom-web") and path.endswith(("studies", "series", "instances"))
    return "search" if is_search else "itself"


def reader(path: str, parameter: Parameter[Any, Any]) -> Callable[[str], object]:
    """Return the function that reads a parameter: for filters, which are read together, their own parser."""
    name = parameter.name
    match way(path, parameter):
        case Level() as level:
            return lambda text: parse_filters(level, {name: [text]})
        case "results":
            return lambda text: parse_result_filters({name: [text]})
        case "search":
            return lambda text: read_search({name: [text]})
        case _:
            return parameter.parse


@pytest.mark.parametrize(("path", "method", "query"), different_queries())
def test_what_a_schema_allows_is_read(path: str, method: str, query: tuple[Parameter[Any, Any], ...]) -> None:
    readers = {parameter.name: reader(path, parameter) for parameter in members(query)}

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
    Selection.from_document(PROCESS_REQUEST.check(body))


def read_rule(body: Mapping[str, Any]) -> None:
    Rule.from_request(body, **dict.fromkeys(("id", "user", "user_id", "created", "changed"), ""))


BODIES: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "put /api/patients/{id}": lambda body: check_changes(Level.PATIENT, body),
    "put /api/studies/{id}": lambda body: check_changes(Level.STUDY, body),
    "put /api/series/{id}": lambda body: check_changes(Level.SERIES, body),
    "put /api/instances/{id}": lambda body: check_changes(Level.INSTANCE, body),
    "post /api/dicom_nodes": parse_node,
    "post /api/dicom_nodes/{id}/find": lambda body: parse_keys(FIND.check(body).get("query") or {}),
    "post /api/dicom_nodes/{id}/retrieve": RETRIEVAL.check,
    "post /api/dicom_nodes/{id}/send": SENDING.check,
    "post /api/users": NEW_USER.check,
    "put /api/users/{id}": USER_CHANGES.check,
    "post /api/process": read_job_request,
    "post /api/rules": read_rule,
}


@pytest.mark.parametrize("name", BODIES)
def test_what_a_body_s_schema_allows_is_read(name: str) -> None:
    method, path = name.split()

    @given(case=_BY_ROUTE[path, method].as_strategy(generation_mode=GenerationMode.POSITIVE))
    @_FEW
    def run(case: schemathesis.Case) -> None:
        assert isinstance(case.body, dict)
        try:
            BODIES[name](case.body)
        except Invalid as error:
            error.add_note(f"the body is {case.body}")
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
