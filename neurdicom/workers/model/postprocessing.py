"""Postprocessing of a network's output: a label map, probabilities of classes, or an image."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from neurdicom.errors import PluginFailed
from neurdicom.workers.model.manifest import Activation, OutputSpec
from neurdicom.workers.model.resizing import Axis, unfit

Array = npt.NDArray[Any]

#: Threshold where a class does not compete with others, and META.json gives none.
THRESHOLD = 0.5


def has_background(spec: OutputSpec, channels: int) -> bool:
    """Tell whether the first label of a segmentation is the background (value 0), not the first structure (1)."""
    if spec.background is not None:
        return spec.background
    if channels == 1:
        return len(spec.labels) == 2
    return spec.activation != "sigmoid"


def activate(array: Array, activation: Activation, axis: int) -> Array:
    """Apply the activation.

    Parameters
    ----------
    array : ndarray
        Output of the network, of any shape; bool, integers or floats.
    activation : {"softmax", "sigmoid", "none"}
        From META.json.
    axis : int
        The axis of the classes.

    Returns
    -------
    ndarray
        float32 or float64, in the same shape.
    """
    if array.dtype.kind != "f" or array.dtype.itemsize < 4:
        array = array.astype("f4")
    if activation == "softmax":
        powers = np.exp(array - array.max(axis, keepdims=True))
        return np.asarray(powers / powers.sum(axis, keepdims=True))
    if activation == "sigmoid":
        return np.asarray(0.5 * (1 + np.tanh(0.5 * array)))
    return array


def laid_out(array: Array, layout: str, axes: int) -> Array:
    """Reorder an output to (channels, [depth,] height, width).

    Parameters
    ----------
    array : ndarray
        Output of the network, with the axes of `layout`, or all but C; any dtype.
    layout : str
        Its axes, such as NCHW.
    axes : int
        Number of spatial axes, 2 or 3.

    Returns
    -------
    ndarray
        Shape (channels, [depth,] height, width), with the dtype of `array`.

    Raises
    ------
    PluginFailed
        Its shape does not fit the layout.
    """
    own = layout
    if array.ndim == len(layout) - 1 and "C" in layout:  # a map of labels, or one channel
        own = layout.replace("C", "")
    if array.ndim != len(own):
        raise PluginFailed(f"the output has the shape {list(array.shape)}; the layout {layout} has {len(layout)} axes")
    if "N" in own:
        if array.shape[own.index("N")] != 1:
            raise PluginFailed(f"the output has the shape {list(array.shape)} (layout {own}); one image is expected")
        array, own = array.take(0, own.index("N")), own.replace("N", "")
    if "C" not in own:
        array, own = array[np.newaxis], "C" + own
    wanted = "CDHW" if axes == 3 else "CHW"
    if set(own) != set(wanted):
        raise PluginFailed(f"the output's layout is {layout}; the axes {', '.join(wanted)} are expected")
    return array.transpose([own.index(axis) for axis in wanted])


def label_map(output: Array, spec: OutputSpec, axes: Sequence[Axis], threshold: float | None) -> Array:
    """Compute the label map of a segmentation, in the size of the image.

    Parameters
    ----------
    output : ndarray
        Output of the network, with the axes of `spec.layout`: scores of classes, or already labels
        (integers or bool in one channel).
    spec : OutputSpec
        From META.json.
    axes : sequence of Axis
        Where the image lies in the network's input.
    threshold : float or None
        Least score of a label; None: META.json's.

    Returns
    -------
    ndarray of uint8 or uint16
        Shape ([depth,] rows, columns) of the image; 0 is the background. With a background among the labels, channel k
        of the network is the value k, else k + 1.

    Raises
    ------
    PluginFailed
        The output does not fit the layout, is not a number anywhere, or has labels outside 0 to 65535.
    """
    array = laid_out(output, spec.layout, len(axes))
    if array.dtype.kind in "iub" and len(array) == 1:
        return unfit(_small(array[0]), axes, "nearest")
    shares, unknown = _known(activate(array, spec.activation, 0))
    background = has_background(spec, len(shares))
    least = spec.threshold if threshold is None else threshold
    if len(shares) == 1:
        labels = (shares[0] >= (THRESHOLD if least is None else least)).astype("u1")
    else:
        labels = shares.argmax(0)
        if not background:
            labels += 1
            least = THRESHOLD if least is None and spec.activation == "sigmoid" else least
        if least is not None:
            labels[shares.max(0) < least] = 0
    labels[unknown] = 0
    return unfit(_small(labels), axes, "nearest")


def _known(shares: Array) -> tuple[Array, Array]:
    """Replace not-a-number, which would win, by minus infinity; also mark the pixels that have nothing else."""
    missing = np.isnan(shares)
    unknown = np.asarray(missing.all(0))
    if unknown.size and unknown.all():
        raise PluginFailed("the network's output is not a number (NaN) anywhere")
    return (np.where(missing, -np.inf, shares) if missing.any() else shares), unknown


def _small(labels: Array) -> Array:
    if labels.size and (int(labels.min()) < 0 or int(labels.max()) > 65535):
        raise PluginFailed(f"the label map has values from {labels.min()} to {labels.max()}; 0 to 65535 are expected")
    return labels.astype("u1" if not labels.size or labels.max() < 256 else "u2")


def image(output: Array, spec: OutputSpec, axes: Sequence[Axis]) -> Array:
    """Compute the image that a network gives.

    Parameters
    ----------
    output : ndarray
        Output of the network, with the axes of `spec.layout`; bool, integers or floats.
    spec : OutputSpec
        From META.json; with `resize` the image has the size of the source.
    axes : sequence of Axis
        Where the image lies in the network's input.

    Returns
    -------
    ndarray of float32 or float64
        Shape ([depth,] rows, columns[, channels]).

    Raises
    ------
    PluginFailed
        The output does not fit the layout.
    """
    array = activate(laid_out(output, spec.layout, len(axes)), spec.activation, 0)
    if spec.resize:
        array = unfit(array, axes, "bilinear")
    return array[0] if len(array) == 1 else np.moveaxis(array, 0, -1)


def classes(output: Array, spec: OutputSpec, threshold: float | None) -> dict[str, Any]:
    """Compute the answer of a classification.

    Parameters
    ----------
    output : ndarray
        Output of the network: one score for each class, with at most one axis longer than 1; bool, integers or floats.
    spec : OutputSpec
        From META.json.
    threshold : float or None
        Least score of `labels`; None: META.json's.

    Returns
    -------
    dict
        `label` and `probability` of the best class, None where the network gave no number for any; `probabilities` of
        all; `top`: the best five; `labels`: those that reach the threshold, where there is one, the best first.

    Raises
    ------
    PluginFailed
        The output is not one number for each class, or has another number of classes than META.json.
    """
    scores = activate(scores_of(output), spec.activation, 0)
    names = spec.names or [str(number) for number in range(len(scores))]
    if len(scores) == 1 and len(names) == 2:
        scores = np.concatenate([1 - scores, scores])
    if len(names) != len(scores):
        raise PluginFailed(f"the output has {len(scores)} classes, and output.labels in META.json has {len(names)}")
    numbers = [round(float(score), 6) if np.isfinite(score) else None for score in scores]
    order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
    best = int(order[0])
    answer: dict[str, Any] = {
        "label": None if np.isnan(scores[best]) else names[best],
        "probability": numbers[best],
        "probabilities": dict(zip(names, numbers, strict=True)),
        "top": [{"label": names[index], "probability": numbers[index]} for index in order[:5]],
    }
    least = spec.threshold if threshold is None else threshold
    if least is None and spec.activation == "sigmoid":
        least = THRESHOLD
    if least is not None:
        answer["labels"] = [names[index] for index in order if scores[index] >= least]
    return answer


def scores_of(output: Array) -> Array:
    """Flatten an output, with at most one axis longer than 1, to shape (classes,) of the same dtype.

    Raises
    ------
    PluginFailed
        More than one axis is longer than 1, or the output is empty.
    """
    shape = [each for each in output.shape if each != 1]
    if len(shape) > 1 or not output.size:
        raise PluginFailed(f"the output has the shape {list(output.shape)}; one number for each class is expected")
    return output.reshape(-1)
