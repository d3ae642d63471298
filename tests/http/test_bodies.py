"""JSON bodies: what a schema refuses names the field that is wrong."""

from typing import Any

import pytest

from neurdicom.errors import Invalid
from neurdicom.http.bodies import JsonBody

BODY = JsonBody(
    {
        "type": "object",
        "required": ["email"],
        "additionalProperties": False,
        "properties": {
            "email": {"type": "string"},
            "rights": {"type": "object", "required": ["level"], "properties": {"level": {"type": "integer"}}},
        },
    }
)


class BodyRequest:
    """A request with this body."""

    def __init__(self, body: dict[str, Any]) -> None:
        self._body = body

    def json_body(self) -> dict[str, Any]:
        return self._body


def test_gives_a_body_that_meets_the_schema() -> None:
    body = {"email": "a@b", "rights": {"level": 1}}
    assert BODY.of(BodyRequest(body)) is body


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "email"),
        ({"email": 1}, "email"),
        ({"email": "a@b", "colour": "red"}, "colour"),
        ({"email": "a@b", "rights": {}}, "rights.level"),
        ({"email": "a@b", "rights": {"level": "x" * 10_000}}, "rights.level"),
    ],
)
def test_refuses_a_body_and_names_the_field(body: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        BODY.of(BodyRequest(body))
    assert caught.value.field == field
    assert len(str(caught.value)) < 1000


def test_a_value_of_another_type_is_not_repeated() -> None:
    """It may be a secret."""
    body = JsonBody({"type": "object", "properties": {"password": {"type": "string"}}})
    with pytest.raises(Invalid, match="password is no string") as caught:
        body.of(BodyRequest({"password": 12345678}))
    assert "12345678" not in str(caught.value)
    assert caught.value.field == "password"
