"""Inspection of an uploaded model, in a worker of its own: the verb `inspect` of a builtin program."""

from pathlib import Path
from typing import Any

import numpy as np

from neurdicom.errors import Invalid, PluginFailed
from neurdicom.workers.model.graph import describe, read_graph, with_named_layers
from neurdicom.workers.model.manifest import ModelManifest
from neurdicom.workers.model.model_zip import network_file
from neurdicom.workers.model.network import Network
from neurdicom.workers.model.postprocessing import has_background, laid_out, scores_of
from neurdicom.workers.model.preprocessing import Prepared, Values, prepare
from neurdicom.workers.model.session import Array, Session, Tensor


def inspect(arguments: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Check a model's files, load it and run it once on zeros.

    Parameters
    ----------
    arguments : dict
        `folder`: where the model's files lie; `threads`: most threads of the run.

    Returns
    -------
    meta : dict
        Description of the network for the API: `input`, `outputs`, `result` (output shape of the trial run), `classes`,
        `background`, `opset`, `producer`, `layers`.
    body : bytes
        Empty.

    Raises
    ------
    Invalid
        The network is broken, or does not fit META.json.
    NotInstalled
        onnx or onnxruntime is missing on this server.
    """
    folder = Path(arguments["folder"])
    graph = read_graph(network_file(folder), folder)
    try:
        network = Network(folder, threads=arguments.get("threads", 1))
    except PluginFailed as error:
        raise Invalid(f"the network can't be loaded: {error}", field="archive") from None
    prepared = _trial(network)
    output = _run(network, prepared, graph)
    classes = _check_output(network, prepared, output)
    given = next(each for each in network.session.outputs if each.name == network.signature.output)
    return {
        "input": network.session.inputs[0].to_api(),
        "outputs": [each.to_api() for each in network.session.outputs],
        "result": Tensor(given.name, given.type, output.shape).to_api(),
        "classes": classes,
        "background": network.manifest.output.kind == "segmentation"
        and has_background(network.manifest.output, classes),
        **describe(graph),
    }, b""


def _trial(network: Network) -> Prepared:
    shape, signature = network.signature.trial_shape(network.manifest), network.signature
    values = Values(np.zeros(shape))
    return prepare(values, network.manifest.input, signature.channels, signature.size, signature.dtype)


def _run(network: Network, prepared: Prepared, graph: Any) -> Array:
    signature = network.signature
    try:
        return network.session.run(signature.input, prepared.array, signature.output)
    except PluginFailed as error:
        reason = str(error)
    # Again without optimisation, so that the error names the layer as its author knows it.
    try:
        plain = Session(with_named_layers(graph), network.file.parent, optimise=False)
        plain.run(signature.input, prepared.array, signature.output)
    except PluginFailed as error:
        reason = str(error)
    shape = list(prepared.array.shape)
    free = "" if network.signature.size or network.manifest.input.size else "; input.size can fix its size"
    raise Invalid(f"the network fails on an input of zeros with the shape {shape}: {reason}{free}", field="input")


def _check_output(network: Network, prepared: Prepared, output: Array) -> int:
    """Compare the shape of an output with META.json; return the number of its channels or classes."""
    manifest, spec = network.manifest, network.manifest.output
    what = f"the network's output {network.signature.output!r} has the shape {list(output.shape)}"
    if not output.size:
        raise Invalid(f"{what}: it is empty", field="output")
    try:
        if spec.kind == "classification":
            found = len(scores_of(output))
        else:
            found = len(laid_out(output, spec.layout, len(prepared.axes)))
    except PluginFailed as error:
        raise Invalid(
            f"{what}: {error}", field="output.layout" if spec.kind != "classification" else "output"
        ) from None
    if spec.kind == "segmentation" and output.dtype.kind in "iub" and found == 1:
        if not spec.labels:
            raise Invalid(f"{what} of labels; output.labels has to tell what they mean", field="output.labels")
        return len(spec.labels)
    _check_labels(manifest, found, what)
    return found


def _check_labels(manifest: ModelManifest, found: int, what: str) -> None:
    spec = manifest.output
    if not spec.labels or spec.kind == "image":
        return
    allowed = {found}
    if found == 1 and (spec.kind == "classification" or has_background(spec, 1)):
        allowed.add(2)
    if len(spec.labels) not in allowed:
        raise Invalid(
            f"{what}: {found} channels or classes; output.labels has {len(spec.labels)}: {', '.join(spec.names)[:99]}",
            field="output.labels",
        )
