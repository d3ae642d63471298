"""Small networks and model archives for the tests, made in memory."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.support.packages import zipped

Axes = Sequence[int | str | None]


def network(
    nodes: Sequence[onnx.NodeProto],
    *,
    weights: Mapping[str, np.ndarray] | None = None,
    shape: Axes = (1, 1, None, None),
    result: Axes | None = None,
    kind: int = TensorProto.FLOAT,
    out: int = TensorProto.FLOAT,
    inputs: Sequence[str] = ("x",),
    outputs: Sequence[str] = ("y",),
    opset: int = 17,
) -> onnx.ModelProto:
    """A network of these layers."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(name, kind, list(shape)) for name in inputs],
        [helper.make_tensor_value_info(name, out, None if result is None else list(result)) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def node(operator: str, inputs: str, outputs: str, name: str = "", **attributes: Any) -> onnx.NodeProto:
    """A layer."""
    return helper.make_node(operator, inputs.split(), outputs.split(), name=name, **attributes)


def identity(**options: Any) -> onnx.ModelProto:
    """Gives what it takes."""
    return network([node("Identity", "x", "y", "same")], **options)


def convolution(classes: int = 3, channels: int = 1, seed: int = 0, **options: Any) -> onnx.ModelProto:
    """Build a 3 x 3 convolution with random weights, one output channel for each class."""
    random = np.random.default_rng(seed)
    weights = {
        "w": random.normal(size=(classes, channels, 3, 3)).astype("f4"),
        "b": random.normal(size=classes).astype("f4"),
    }
    layer = node("Conv", "x w b", "y", "first", pads=[1, 1, 1, 1])
    return network([layer], weights=weights, **{"shape": (1, channels, None, None)} | options)


def classifier(classes: int = 3, seed: int = 0, **options: Any) -> onnx.ModelProto:
    """The mean of a convolution over the image: one number for each class, shape (1, classes)."""
    made = convolution(classes, seed=seed, **options)
    made.graph.node[0].output[0] = "map"
    made.graph.node.extend([node("GlobalAveragePool", "map", "pooled", "pool"), node("Flatten", "pooled", "y", "flat")])
    return made


def meta(**fields: Any) -> dict[str, Any]:
    """A META.json of a segmentation with three classes; None leaves a field away."""
    made = {
        "model_guid": "test.model",
        "name": "Test model",
        "version": "1.0",
        "author": "Tests",
        "input": {"layout": "NCHW"},
        "output": {"kind": "segmentation", "labels": ["background", "one", "two"]},
        **fields,
    }
    return {key: value for key, value in made.items() if value is not None}


def package(
    model: onnx.ModelProto | bytes | None = None,
    *,
    top: str = "",
    name: str = "model.onnx",
    files: Mapping[str, str | bytes] | None = None,
    **fields: Any,
) -> bytes:
    """The ZIP of a model, below a folder `top` where one is given."""
    model = convolution() if model is None else model
    data = model if isinstance(model, bytes) else model.SerializeToString()
    fields = {"name": fields.pop("title", None) or "Test model"} | fields
    content = {"META.json": json.dumps(meta(**fields)), name: data, **(files or {})}
    return zipped({top + path: each for path, each in content.items()})
