"""The ONNX file, checked at upload before it is loaded. Worker processes only.

onnxruntime gets no file that has not passed: it would open any path that the file names as external data.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from neurdicom.errors import Invalid, NotInstalled
from neurdicom.installation import how_to_install

try:
    import onnx
    from google.protobuf.message import DecodeError
except ImportError as error:
    raise NotInstalled(
        f"models need onnx, which is not installed on this server; {how_to_install('models')}"
    ) from error

#: Most bytes of a protobuf message; weights of larger networks lie in external data.
_MOST_BYTES = (1 << 31) - 1


def read_graph(path: Path, folder: Path) -> Any:
    """Parse an ONNX file and check the external data that it names.

    Parameters
    ----------
    path : Path
        The file.
    folder : Path
        The model's folder, which external data may not leave.

    Returns
    -------
    onnx.ModelProto
        Without its external data.

    Raises
    ------
    Invalid
        It is no ONNX file, is cut off, or names external data that are missing or lie elsewhere.
    """
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise _refused(f"{path.name} has {size} bytes; more than 2 GiB have to be external data beside it")
    try:
        model = onnx.load_model(path, load_external_data=False, format="protobuf")
    except DecodeError as error:
        raise _refused(f"{path.name} is not an ONNX file, or is cut off: {error}") from None
    if not model.opset_import or not model.graph.output:
        raise _refused(f"{path.name} is not an ONNX file: it has no operator set, or no graph with an output")
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            _check_external(tensor, path.parent, folder)
    return model


def with_named_layers(model: Any) -> bytes:
    """Encode the network with names for nameless layers, made of their number, operator and outputs."""
    for number, node in enumerate(model.graph.node):
        if not node.name:
            node.name = f"#{number} ({node.op_type} -> {', '.join(node.output)})"
    serialized: bytes = model.SerializeToString()
    return serialized


def describe(model: Any) -> dict[str, Any]:
    """Describe an ONNX file: its operator sets, its producer, and its number of layers."""
    return {
        "opset": {each.domain or "ai.onnx": each.version for each in model.opset_import},
        "producer": " ".join(part for part in (model.producer_name, model.producer_version) if part)[:200],
        "layers": len(model.graph.node),
    }


def _tensors(model: Any) -> Iterator[Any]:
    """Yield every tensor that a model holds, in its graph, the graphs within, and its functions."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _node_tensors(node)
    for training in model.training_info:
        for graph in (training.initialization, training.algorithm):
            yield from _graph_tensors(graph)


def _graph_tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _node_tensors(node)


def _node_tensors(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        yield attribute.t
        yield from attribute.tensors
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for graph in (attribute.g, *attribute.graphs):
            yield from _graph_tensors(graph)


def _check_external(tensor: Any, beside: Path, folder: Path) -> None:
    """Refuse external data that are not a file of the archive, or reach past its end."""
    given = {entry.key: entry.value for entry in tensor.external_data}
    location = given.get("location", "")
    shown = f"the external data of {tensor.name!r}"
    relative = PurePosixPath(location)
    if not location or relative.is_absolute() or "\\" in location or ".." in relative.parts or "\0" in location:
        raise _refused(f"{shown} lie at {location[:200]!r}; a path within the archive is expected")
    path = beside / relative
    if not path.resolve().is_relative_to(folder.resolve()):
        raise _refused(f"{shown} lie at {location[:200]!r}, which is outside the archive")
    if not path.is_file():
        raise _refused(f"{shown} lie in {location[:200]!r}, which is missing in the archive")
    try:
        offset, length = int(given.get("offset", 0)), int(given.get("length", 0))
    except ValueError:
        raise _refused(f"{shown} have an offset or a length that is no number") from None
    size = path.stat().st_size
    if offset < 0 or length < 0 or offset + length > size:
        raise _refused(f"{shown} reach to byte {offset + length} of {location!r}, which has {size}")


def _refused(reason: str) -> Invalid:
    return Invalid(f"the network is refused: {reason}", field="archive")
