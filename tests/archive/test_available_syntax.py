"""The place of (0008,3002) in a header, whatever surrounds it."""

from typing import Any

import orjson
import pytest

from neurdicom.archive.available_syntax import with_available_syntax

UID = "1.2.840.10008.1.2.4.102"
ELEMENT = {"vr": "UI", "Value": [UID]}


def text(value: str) -> dict[str, Any]:
    return {"Value": [value], "vr": "LO"}


@pytest.mark.parametrize(
    "dataset",
    [
        {},
        {"00080018": text("1.2")},
        {"00080018": text("1.2"), "00100010": text("X")},
        {"00080018": text("1.2"), "00083001": text("X"), "00083003": text("X"), "00083010": text("X")},
        {"00080018": text("1.2"), "00089215": text("X"), "00090010": text("X")},
        {"00080018": text("1.2"), "7FE00010": text("X")},
        {"00100010": text("X")},
        {
            "00080005": text("X"),
            "00081140": {"vr": "SQ", "Value": [{"00100010": text("X")}, {}]},
            "00100010": text("Y"),
        },
        {"00081140": {"vr": "SQ", "Value": [{"00081140": {"vr": "SQ", "Value": [{"00089215": text("X")}]}}]}},
        {"00081030": text('a "00100010":{ text'), "00100010": text("X")},
        {"00080018": text("1.2"), "00083002": {"vr": "UI", "Value": ["1.2.3"]}, "00100010": text("X")},
        {"00081140": {"vr": "SQ", "Value": [{"00083002": text("X"), "00100010": text("X")}]}, "00100010": text("X")},
    ],
)
def test_it_comes_in_the_order_of_tags(dataset: dict[str, Any]) -> None:
    found = orjson.loads(with_available_syntax(orjson.dumps(dataset), UID))
    assert found == dataset | {"00083002": ELEMENT}
    assert list(found) == sorted(found)


@pytest.mark.parametrize("value", ["}", "{", "}}}", "{{", '"}', '{"00100010":{', "\\", '\\"'])
def test_braces_in_text_break_nothing(value: str) -> None:
    sequence = {"vr": "SQ", "Value": [{"00081030": text(value), "00100010": text(value)}]}
    dataset = {"00081030": text(value), "00081140": sequence, "00100010": text(value)}
    found = orjson.loads(with_available_syntax(orjson.dumps(dataset), UID))
    assert {key: found[key] for key in ("00081030", "00100010")} == {"00081030": text(value), "00100010": text(value)}


def test_without_a_transfer_syntax_nothing_is_said() -> None:
    assert with_available_syntax(b'{"00100010":{"vr":"PN"}}', "") == b'{"00100010":{"vr":"PN"}}'
