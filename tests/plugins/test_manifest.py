"""META.json: the schema, what is read leniently, and messages that name what is wrong."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from neurdicom.errors import Invalid
from neurdicom.plugins.manifest import parse_manifest
from neurdicom.workers.packages.meta import plugin_schema
from tests.support.packages import meta


def parse(**fields: Any) -> Any:
    return parse_manifest(json.dumps(meta(**fields)).encode())


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(plugin_schema())


def test_the_smallest() -> None:
    manifest = parse()
    assert (manifest.guid, manifest.name, manifest.author) == ("test.plugin", "Test", "Tests")
    assert (manifest.level, manifest.input, manifest.result, manifest.params) == ("instance", "stored", None, {})


def test_unknown_fields_are_kept_and_float_is_double() -> None:
    fields = parse(
        colour="red", params={"f": {"type": "float", "isarray": None, "isnull": None, "unit": "HU"}}
    ).to_api()
    assert fields["colour"] == "red"
    assert fields["params"]["f"] == {
        "type": "double",
        "isarray": False,
        "isnull": False,
        "is_required": True,
        "unit": "HU",
    }


def test_fields_of_the_first_neurdicom_are_taken() -> None:
    manifest = parse(
        version=1.5,
        display_name="T",
        docs="long",
        modalities=["MR"],
        tags=["a"],
        type="SEGMENT",
        result={"type": "IMAGE", "bits": 16},
    )
    assert (manifest.version, manifest.result) == ("1.5", "IMAGE")


def test_segments_and_measurements() -> None:
    liver = {"value": "10200004", "scheme": "SCT", "meaning": "Liver"}
    segments = [
        {"number": 2, "label": "Liver", "type": liver, "color": "#aa3311", "category": None},
        {"number": 1, "label": "Läsion", "color": [255, 0, 0], "tracking_id": "L1", "algorithm_type": "SEMIAUTOMATIC"},
    ]
    manifest = parse(result={"type": "SEGMENTATION", "segments": segments})
    assert (manifest.result, manifest.produces["segments"]) == ("SEGMENTATION", segments)
    measurements = [{"name": "lesions.volume_ml", "unit": "mL", "concept": liver, "site": liver}, {"name": "n"}]
    manifest = parse(result={"type": "MEASUREMENTS", "measurements": measurements})
    assert (manifest.result, manifest.produces["measurements"]) == ("MEASUREMENTS", measurements)
    assert (parse(result={"type": "SEGMENTATION"}).result, parse(result=None).produces) == ("SEGMENTATION", {})


def segment(**fields: Any) -> dict[str, Any]:
    return {"type": "SEGMENTATION", "segments": [{"number": 1, "label": "A", **fields}]}


def test_a_byte_order_mark_is_taken() -> None:
    assert parse_manifest(b"\xef\xbb\xbf" + json.dumps(meta()).encode()).guid == "test.plugin"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"plugin_guid": None}, "plugin_guid"),
        ({"name": None}, "name"),
        ({"author": None}, "author"),
        ({"plugin_guid": 5}, "plugin_guid"),
        ({"plugin_guid": ""}, "plugin_guid"),
        ({"plugin_guid": "../x"}, "plugin_guid"),
        ({"plugin_guid": ".."}, "plugin_guid"),
        ({"plugin_guid": "schema"}, "plugin_guid"),
        ({"params": [1]}, "params"),
        ({"params": {"p": {}}}, "params.p.type"),
        ({"params": {"p": {"type": "string"}}}, "params.p.type"),
        ({"params": {"p": {"type": "int", "range": [1]}}}, "params.p.range"),
        ({"params": {"p": {"type": "int", "isarray": "yes"}}}, "params.p.isarray"),
        ({"result": {"type": "PNG"}}, "result.type"),
        ({"result": "IMAGE"}, "result"),
        ({"result": {"type": "SEGMENTATION", "segments": []}}, "result.segments"),
        ({"result": {"type": "SEGMENTATION", "segments": [{"label": "A"}]}}, "result.segments.0.number"),
        ({"result": {**segment(), "segments": segment()["segments"] * 2}}, "result.segments.1.number"),
        ({"result": segment(number=0)}, "result.segments.0.number"),
        ({"result": segment(label="A\\B")}, "result.segments.0.label"),
        ({"result": segment(color=[256, 0, 0])}, "result.segments.0.color.0"),
        ({"result": segment(color="red")}, "result.segments.0.color"),
        ({"result": segment(type={"value": "1", "scheme": "SCT"})}, "result.segments.0.type.meaning"),
        ({"result": segment(tracking_uid="1.2.x")}, "result.segments.0.tracking_uid"),
        ({"result": {"type": "MEASUREMENTS", "measurements": [{"unit": "mL"}]}}, "result.measurements.0.name"),
        ({"level": "study"}, "level"),
        ({"input": "raw"}, "input"),
        ({"timeout": 0}, "timeout"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid, match=r"META\.json: ") as caught:
        parse(**fields)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"\xff\xfe{\0}\0", b'{"a": NaN}', b"[" * 100_000, b" " * (1 << 21)]
)
def test_what_is_not_a_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid, match=r"META\.json"):
        parse_manifest(data)


def test_what_lies_too_deep_to_be_written_again_is_refused() -> None:
    data = json.dumps(meta(docs="DEEP")).encode()
    assert parse_manifest(data.replace(b'"DEEP"', b"[" * 200 + b"]" * 200)).to_document()
    with pytest.raises(Invalid, match="nests more than"):
        parse_manifest(data.replace(b'"DEEP"', b"[" * 260 + b"]" * 260))
