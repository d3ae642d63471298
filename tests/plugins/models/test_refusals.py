"""Refused uploads: networks that are broken, or that do not fit META.json. Each by name; nothing is kept."""

import json
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from tests.support.networks import classifier, convolution, identity, meta, network, node, package
from tests.support.packages import zipped
from tests.support.plugin_site import Site

GOOD = convolution().SerializeToString()
IMAGE = {"kind": "image"}


def external(location: str, **keys: Any) -> onnx.ModelProto:
    """A convolution whose weights lie in another file."""
    made = convolution()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **keys}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
    return made


def hidden(location: str) -> onnx.ModelProto:
    """A network with external data in a tensor of a layer within a branch."""
    tensor = onnx.helper.make_tensor("t", TensorProto.FLOAT, [1], [0.0])
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    out = onnx.helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
    branch = onnx.helper.make_graph([onnx.helper.make_node("Constant", [], ["b"], value=tensor)], "branch", [], [out])
    choice = onnx.helper.make_node("If", ["yes"], ["c"], name="if", then_branch=branch, else_branch=branch)
    return network([choice, node("Add", "x c", "y")], weights={"yes": np.array(True)})


REFUSED: list[tuple[str, Any, dict[str, Any], str, list[str]]] = [
    ("text", b"hello world", {}, "archive", ["not an ONNX file"]),
    ("empty", b"", {}, "archive", ["not an ONNX file"]),
    ("cut in the middle", GOOD[: len(GOOD) // 2], {}, "archive", ["cut off"]),
    ("cut at the end", GOOD[:-3], {}, "archive", ["cut off"]),
    ("operator", network([node("Foo", "x", "y", "odd")]), {"output": IMAGE}, "archive", ["odd", "Foo"]),
    (
        "domain",
        network([node("Foo", "x", "y", "odd", domain="my.ops")]),
        {"output": IMAGE},
        "archive",
        ["odd", "my.ops"],
    ),
    ("opset", identity(opset=99), {"output": IMAGE}, "archive", ["Opset 99"]),
    ("edge", network([node("Relu", "nothing", "y", "r")]), {"output": IMAGE}, "archive", ["nothing"]),
    (
        "two inputs",
        network([node("Add", "x z", "y")], inputs="xz"),
        {"output": IMAGE},
        "input",
        ["2 inputs", "'x'", "'z'"],
    ),
    ("input name", convolution(), {"input": {"name": "image"}}, "input.name", ["'image'", "'x'"]),
    (
        "text input",
        network([node("Identity", "x", "y")], kind=TensorProto.STRING, out=TensorProto.STRING),
        {},
        "input",
        ["string"],
    ),
    ("rank", identity(shape=(1, 64, 64)), {"output": IMAGE}, "input.layout", ["[1, 64, 64]", "NCHW"]),
    (
        "layout",
        convolution(channels=3, shape=(1, 3, 64, 64)),
        {"input": {"layout": "NHWC"}},
        "input.channels",
        ["64 channels"],
    ),
    ("batch", identity(shape=(4, 1, 8, 8)), {"output": IMAGE}, "input.layout", ["4 images"]),
    ("channels", convolution(channels=3), {"input": {"channels": 1}}, "input.channels", ["channels is 1", "has 3"]),
    ("many channels", identity(shape=(1, 5, 8, 8)), {"output": IMAGE}, "input.channels", ["5 channels"]),
    (
        "means",
        convolution(),
        {"input": {"normalisation": {"mean": [1, 2, 3], "std": 1}}},
        "input.normalisation",
        ["3 numbers"],
    ),
    (
        "size",
        identity(shape=(1, 1, 64, 64)),
        {"input": {"size": [64, 32]}, "output": IMAGE},
        "input.size",
        ["[64, 32]", "[64, 64]"],
    ),
    ("empty input", identity(shape=(1, 1, 0, 5)), {"output": IMAGE}, "input", ["[1, 1, 0, 5]"]),
    (
        "empty output",
        network([node("NonZero", "x", "y")], out=TensorProto.INT64),
        {"output": IMAGE},
        "output",
        ["[4, 0]", "empty"],
    ),
    ("some fixed axes", identity(shape=(1, 1, 64, None)), {"output": IMAGE}, "input.size", ["missing"]),
    ("labels", convolution(4), {}, "output.labels", ["4 channels", "3: background"]),
    ("classes", classifier(4), {"output": {"kind": "classification", "labels": ["a"]}}, "output.labels", ["4", "1: a"]),
    ("no classes", identity(), {"output": {"kind": "classification"}}, "output", ["[1, 1, 64, 64]"]),
    ("no map", classifier(3), {}, "output.layout", ["[1, 3]"]),
    (
        "two outputs",
        network([node("Relu", "x", "y"), node("Neg", "x", "z")], outputs="yz"),
        {"output": IMAGE},
        "output.name",
        ["2 outputs"],
    ),
    ("output name", identity(), {"output": {"kind": "image", "name": "z"}}, "output.name", ["'z'", "'y'"]),
    (
        "no meaning",
        network([node("ArgMax", "x", "y", axis=1, keepdims=0)], out=TensorProto.INT64),
        {"output": {"kind": "segmentation"}},
        "output.labels",
        ["labels"],
    ),
    ("external, missing", external("weights.bin"), {}, "archive", ["'w'", "weights.bin", "missing"]),
    ("external, above", external("../../../../etc/passwd"), {}, "archive", ["'w'", "/etc/passwd"]),
    ("external, absolute", external("/etc/passwd"), {}, "archive", ["'w'", "/etc/passwd"]),
    ("external, hidden", hidden("/etc/passwd"), {"output": IMAGE}, "archive", ["'t'", "/etc/passwd"]),
    ("external, nowhere", external(""), {}, "archive", ["'w'"]),
]


@pytest.mark.parametrize(
    ("model", "fields", "field", "named"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED]
)
def test_a_network_that_is_refused(
    site: Site, model: Any, fields: dict[str, Any], field: str, named: list[str]
) -> None:
    answer = site.install_model(package(model, **fields))
    assert answer.status_code == 422, answer.text
    detail = answer.json()["detail"]
    assert answer.json()["field"] == field, detail
    assert [each for each in named if each not in detail] == [], detail
    assert str(site.server.data) not in detail
    assert "ONNXRuntimeError" not in detail
    assert site.client.get("/api/models").json() == []
    assert site.models == []


def test_the_layer_that_fails_is_named(site: Site) -> None:
    """Shapes that only the run can tell: 3 channels come to a layer that takes 5."""
    nodes = [node("Conv", "x w", "a", "first"), node("Conv", "a v", "b", "second"), node("Relu", "b", "y")]
    weights = {"w": np.zeros((3, 1, 1, 1), "f4"), "v": np.zeros((2, 5, 1, 1), "f4")}
    answer = site.install_model(package(network(nodes, weights=weights, shape=(None,) * 4), output=IMAGE))
    assert (answer.status_code, answer.json()["field"]) == (422, "input")
    assert "second" in answer.json()["detail"]
    nodes[1].name = ""
    answer = site.install_model(package(network(nodes, weights=weights, shape=(None,) * 4), output=IMAGE))
    assert "#1 (Conv -> b)" in answer.json()["detail"]


def test_external_data_of_the_archive(site: Site) -> None:
    weights = onnx.numpy_helper.to_array(convolution().graph.initializer[0]).tobytes()
    plain = site.install_model(package(model_guid="plain")).json()
    good = package(external("data/w.bin", length=len(weights)), files={"data/w.bin": weights})
    assert site.install_model(good).status_code == 201
    assert site.run_model(format="npy").content == site.run_model(plain["id"], format="npy").content
    for keys, named in (
        ({"length": len(weights) + 1}, "reach"),
        ({"offset": "x"}, "no number"),
        ({"offset": -4}, "reach"),
    ):
        answer = site.install_model(package(external("data/w.bin", **keys), files={"data/w.bin": weights}))
        assert (answer.status_code, answer.json()["field"]) == (422, "archive")
        assert named in answer.json()["detail"]
    short = package(external("data/w.bin"), files={"data/w.bin": weights[:10]})
    answer = site.install_model(short)
    assert (answer.status_code, answer.json()["field"]) == (422, "archive"), answer.text


META: list[tuple[dict[str, Any], str]] = [
    ({"author": None}, "author"),
    ({"output": None}, "output"),
    ({"output": {}}, "output.kind"),
    ({"output": {"kind": "detection"}}, "output.kind"),
    ({"output": {"kind": "image", "activation": "relu"}}, "output.activation"),
    ({"output": {"kind": "segmentation", "labels": ["a", "a"]}}, "output.labels"),
    ({"output": {"kind": "segmentation", "labels": {"0": "a", "2": "b"}}}, "output.labels"),
    ({"input": {"layout": "NCXY"}}, "input.layout"),
    ({"input": {"layout": "NCC"}}, "input.layout"),
    ({"input": {"layout": "NC"}}, "input.layout"),
    ({"input": {"size": 0}}, "input.size"),
    ({"input": {"size": [1, 2, 3]}}, "input.size"),
    ({"input": {"channels": 2}}, "input.channels"),
    ({"input": {"window": {"center": 40, "width": 0}}}, "input.window"),
    ({"input": {"window": [40, -1]}}, "input.window"),
    ({"input": {"layout": "NCDHW", "window": "dicom"}}, "input.window"),
    ({"input": {"normalisation": {"mean": 0, "std": 0}}}, "input.normalisation.std"),
    ({"input": {"normalization": {"min": 1, "max": 1}}}, "input.normalization.min"),
    ({"input": {"values": "hounsfield"}}, "input.values"),
    ({"timeout": 0}, "timeout"),
]


@pytest.mark.parametrize(("fields", "field"), META, ids=[json.dumps(each[0]) for each in META])
def test_a_meta_json_that_is_refused(site: Site, fields: dict[str, Any], field: str) -> None:
    answer = site.install_model(zipped({"META.json": json.dumps(meta(**fields)), "m.onnx": GOOD}))
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"].startswith(field), answer.text
    assert site.models == []
