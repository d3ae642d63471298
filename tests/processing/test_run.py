"""Ids of runs, and the form in which jobs keep a request."""

import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import orjson
import pytest

from neurdicom import __version__
from neurdicom.dicom.query.attributes import Level
from neurdicom.plugins.tools import Tool
from neurdicom.processing.run import ResolvedRun, RunRequest
from neurdicom.workers.arguments import encoded
from neurdicom.workers.executor import Input
from neurdicom.workers.program import Reply

TOOL = Tool(type="plugin", id="p", name="P", version="1", author="A", digest="d" * 64)
INPUT = Input("1.2.3", "/file", "a" * 64, {"rows": 2}, 1, key="1.2.3~01234567")
REQUEST = RunRequest(tool_type="plugin", tool="p", entity="1.2.3", params={"x": 1.0})
RUN = ResolvedRun(REQUEST, TOOL, (INPUT,))


@pytest.mark.parametrize(
    "other",
    [
        replace(RUN, request=replace(REQUEST, params={"x": 2.0})),
        replace(RUN, tool=replace(TOOL, digest="e" * 64)),
        replace(RUN, tool=replace(TOOL, uses={"m": "f" * 64})),
        replace(RUN, inputs=(replace(INPUT, sha256="b" * 64),)),
        replace(RUN, inputs=(replace(INPUT, edits=({"tag": "00100010"},)),)),
        replace(RUN, inputs=(replace(INPUT, frame=2),)),
        replace(RUN, inputs=(INPUT, INPUT)),
    ],
)
def test_what_counts_makes_another_id(other: ResolvedRun) -> None:
    assert other.id != RUN.id


@pytest.mark.parametrize(
    "other",
    [
        replace(RUN, request=replace(REQUEST, format="f64", store=True, cache=False, user="u", job="j")),
        replace(RUN, tool=replace(TOOL, name="Other", version="2", author="B")),
        replace(RUN, inputs=(replace(INPUT, path="/elsewhere", attributes={"rows": 2}),)),
        replace(RUN, inputs=(replace(INPUT, key="1.2.3~76543210"),)),
    ],
)
def test_what_does_not_count_makes_the_same_id(other: ResolvedRun) -> None:
    assert other.id == RUN.id


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"b": [1, 2.5, "ä"], "a": None},
        {"x": [*range(10_000)], "y": [0.5] * 20_001, "t": "ä" * 10_001, "n": True},
        {"ü": ['"', "\\", "\n"] * 5000, "last": []},
    ],
    ids=["none", "few", "many", "texts"],
)
def test_digests_are_those_of_the_whole_json(params: dict[str, Any]) -> None:
    """Long lists are encoded in pieces; results that are kept are found as before."""
    run = replace(RUN, request=replace(REQUEST, params=params, store=True))
    run.compute_digests()
    said = [__version__, "plugin", "p", "d" * 64, {}, [["a" * 64, 1, []]], params]
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    assert run.id == sha256(text.encode()).hexdigest()
    code = ["plugin", "p", "d" * 64, params]
    assert run.digest == sha256(orjson.dumps(code, option=orjson.OPT_SORT_KEYS)).hexdigest()
    assert orjson.dumps({"params": encoded(params)}) == orjson.dumps({"params": params})


def test_large_requests_are_told() -> None:
    for large in (
        replace(REQUEST, params={"x": [0] * 10_001}),
        replace(REQUEST, params={"x": "a" * 10_001}),
        replace(REQUEST, params=dict.fromkeys(map(str, range(10_001)))),
        replace(REQUEST, texts={"x": ["1"] * 10_001}),
        replace(REQUEST, texts={"x": ["", "1" * 10_001]}),
    ):
        assert large.is_large
    assert not replace(REQUEST, params={"x": [0] * 100}, texts={"y": ["1"]}).is_large


def test_the_frame_of_a_whole_instance_does_not_count() -> None:
    whole = replace(RUN, tool=replace(TOOL, per_frame=False))
    second = replace(whole, request=replace(REQUEST, frame=2), inputs=(replace(INPUT, frame=2),))
    assert (whole.id, whole.frame, second.frame) == (second.id, 1, 2)
    assert RUN.frame is None


@pytest.mark.parametrize(
    ("fields", "format"), [({}, "png"), ({"job": "j"}, "npy"), ({"job": "j", "format": "json"}, "json")]
)
def test_of_a_jobs_images_the_samples_are_computed(fields: dict[str, Any], format: str) -> None:
    assert replace(RUN, request=replace(REQUEST, **fields)).format == format


def test_the_form_of_a_jobs_request_stays() -> None:
    """Jobs of earlier versions are read."""
    document = {
        "model": "m", "version": "1", "digest": "d" * 64, "params": {"threshold": 0.5}, "format": "png",
        "store": True, "cache": False, "frame": None, "series": ["1.2"], "rule": "r",
    }  # fmt: skip
    request = RunRequest.from_document(document)
    assert request == RunRequest(
        tool_type="model", tool="m", digest="d" * 64, params={"threshold": 0.5}, store=True, cache=False, frame=None
    )
    assert request.level is Level.INSTANCE
    assert document.items() >= request.to_document().items()


def test_the_wire_form_names_the_planes() -> None:
    run = replace(RUN, inputs=(INPUT, replace(INPUT, path="/second")))
    wire = run.to_wire("1.2")
    assert [(one["path"], one["frame"]) for one in wire["sources"]] == [("/file", 1), ("/second", 1)]
    assert (wire["tool"]["name"], wire["params"], wire["run"]) == ("P", {"x": 1.0}, run.digest)
    assert wire["series"] == "1.2"
    assert [(one["path"], one["frame"]) for one in run.to_wire("1.2", [(1, 3)])["sources"]] == [("/second", 3)]
    assert run.digest_with(Reply(body=b"a")) != run.digest_with(Reply(body=b"b"))
