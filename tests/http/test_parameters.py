"""Declarations of query parameters: what they read, what they refuse, and what their schemas say of both."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.filters import sort_fields
from neurdicom.errors import Invalid
from neurdicom.http.parameters import (
    Paging,
    Parameter,
    ParameterGroup,
    choice_parameter,
    flag_parameter,
    integer_parameter,
    number_parameter,
    sort_parameter,
    text_parameter,
)

FRAME = integer_parameter("frame", "", 1, low=1, high=100)
WIDTH = number_parameter("width", "")
FLAG = flag_parameter("derived", "")
STATE = choice_parameter("state", "", ("queued", "done"), None)
ORDER = choice_parameter("sort", "", ("created", "-created"), "-created")
SORT = sort_parameter(sort_fields(Level.STUDY))
TEXT = text_parameter("kind", "", None, longest=64)
WINDOW = ParameterGroup("window", "", [number_parameter("center", ""), number_parameter("width", "", above=0)])


class QueryRequest:
    """A request with these query parameters."""

    def __init__(self, **given: str) -> None:
        self._given = given

    def query(self, name: str) -> str | None:
        return self._given.get(name)


def takes(parameter: Parameter[Any, Any], value: object) -> bool:
    return Draft202012Validator(dict(parameter.schema)).is_valid(value)


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        (FRAME, "7", 7),
        (WIDTH, "-1.5e2", -150.0),
        (FLAG, "true", True),
        (FLAG, "false", False),
        (STATE, "done", "done"),
        (ORDER, "created", "created"),
        (ORDER, "", "-created"),
        (TEXT, "", ""),
        (SORT, "", ()),
        (SORT, "-study_date, patient_name", (("study_date", True), ("patient_name", False))),
    ],
)
def test_reads_text(parameter: Parameter[Any, Any], text: str, value: object) -> None:
    assert parameter.of(QueryRequest(**{parameter.name: text})) == value


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        *((FRAME, text) for text in ("", "0", "101", "1.0", "--1", "+1", "１", "9" * 5000)),
        *((WIDTH, text) for text in ("", "1_000", "one", "٣")),
        *((FLAG, text) for text in ("", "1", "TRUE")),
        *((STATE, text) for text in ("", "lost")),
        (ORDER, "-"),
        (TEXT, "x" * 65),
        *(
            (SORT, text)
            for text in ("colour", "--study_date", "study_date,-study_date", "modality", "patient_comments")
        ),
    ],
)
def test_refuses_text_and_names_the_parameter(parameter: Parameter[Any, Any], text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parameter.of(QueryRequest(**{parameter.name: text}))
    assert caught.value.field == parameter.name
    assert len(str(caught.value)) < 1000
    if parameter.schema["type"] == "string":
        assert not takes(parameter, text)


def test_absent_parameters_have_their_default() -> None:
    defaults = [each.of(QueryRequest()) for each in (FRAME, WIDTH, FLAG, STATE, ORDER, SORT, TEXT)]
    assert defaults == [1, None, False, None, "-created", (), None]
    assert Paging("studies").of(QueryRequest()) == (100, 0)
    assert Paging("studies").of(QueryRequest(limit="3", offset="4")) == (3, 4)


@pytest.mark.parametrize(("text", "possible"), [("study_date", True), ("-study_date,patient_name", True), ("", True)])
def test_schema_of_a_sort_order(text: str, possible: bool) -> None:
    assert takes(SORT, text) is possible
    assert "modality" in sort_fields(Level.SERIES)


def test_parameters_that_go_together() -> None:
    assert WINDOW.of(QueryRequest()) is None
    assert WINDOW.of(QueryRequest(center="-5", width="0.5")) == (-5, 0.5)
    for given, wrong in (
        ({"center": "1"}, "width"),
        ({"width": "1"}, "center"),
        ({"center": "1", "width": "0"}, "width"),
        ({"center": "nan", "width": "1"}, "center"),
    ):
        with pytest.raises(Invalid) as caught:
            WINDOW.of(QueryRequest(**given))
        assert caught.value.field == wrong
    described = WINDOW.to_openapi()
    assert (described["style"], described["explode"]) == ("form", True)
    assert not Draft202012Validator(dict(described["schema"])).is_valid({"center": 1})
