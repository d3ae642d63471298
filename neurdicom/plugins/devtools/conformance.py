"""Conformance of results with META.json: pure functions of the manifest, the sample and the reply."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from pydicom import dcmread

from neurdicom.plugins.devtools.report import Check, Finding, advice, problem
from neurdicom.plugins.devtools.samples import Sample
from neurdicom.plugins.manifest import Manifest
from neurdicom.workers.program import Reply

Array = npt.NDArray[Any]

#: VRs of a derived object's elements that differ each time it is made.
_OF_THE_MOMENT = ("UI", "DA", "TM", "DT")


def image_of(reply: Reply) -> Array | None:
    """Read the image of a reply in format `npy`, in the shape and dtype of the result; None for any other."""
    if reply.meta.get("kind") != "image":
        return None
    return np.asarray(np.load(io.BytesIO(reply.body), allow_pickle=False))


def json_of(reply: Reply) -> Any:
    """Read the JSON of a reply, or beside its image; None where there is none."""
    return orjson.loads(reply.body) if reply.meta.get("kind") == "json" else reply.meta.get("json")


def describe(reply: Reply) -> str:
    """Describe a reply in words."""
    image = image_of(reply)
    if image is not None:
        beside = " and JSON" if "json" in reply.meta else ""
        return f"image {' × '.join(map(str, image.shape))} {image.dtype}{beside}"
    if reply.meta.get("kind") == "json":
        found = json_of(reply)
        names = ", ".join(list(found)[:3]) + (", ..." if len(found) > 3 else "") if isinstance(found, dict) else ""
        return f"JSON {{{names}}}" if names else "JSON"
    return f"{reply.meta.get('kind', 'nothing')}, {len(reply.body)} bytes"


def same(one: Reply, other: Reply) -> bool:
    """Tell whether two replies are the same result."""
    if one.meta != other.meta and one.meta.get("kind") != "dicom":
        return False
    if bytes(one.body) == bytes(other.body):
        return True
    if one.meta.get("media_type") == other.meta.get("media_type") == "application/dicom":
        return _lasting(one) == _lasting(other)
    # The boundary and the UIDs of several objects are new each time.
    return one.meta.get("kind") == other.meta.get("kind") == "dicom" and len(one.body) == len(other.body)


def difference(one: Reply, other: Reply) -> str:
    """Describe in words where two replies differ."""
    first, second = image_of(one), image_of(other)
    if first is None or second is None or first.shape != second.shape:
        return f"{describe(one)}, then {describe(other)}"
    differs = ~((first == second) | ((first != first) & (second != second)))
    count = int(differs.sum())
    if not count:
        return "the JSON beside the image differs"
    at = tuple(int(index) for index in np.argwhere(differs)[0])
    return f"{count} of {first.size} samples differ, first at {at}: {first[at]!s}, then {second[at]!s}"


def _lasting(reply: Reply) -> bytes:
    ds = dcmread(io.BytesIO(reply.body))
    for element in list(ds.iterall()):
        if element.VR in _OF_THE_MOMENT:
            element.value = None
    return ds.to_json().encode()


def fit(manifest: Manifest, sample: Sample, reply: Reply) -> list[Finding]:
    """Find where a result does not fit META.json or the sample.

    Parameters
    ----------
    manifest : Manifest
        META.json.
    sample : Sample
        The input.
    reply : Reply
        The result, an image in format `npy`.

    Returns
    -------
    list of Finding
        Empty where it fits.
    """
    kind, image = reply.meta.get("kind"), image_of(reply)
    declared = manifest.result
    if declared is None:
        return _odd(sample, reply, image)
    wanted = "json" if declared in ("JSON", "MEASUREMENTS") else "image"
    if kind != wanted and kind != "dicom":
        message = f"META.json declares the result {declared}, and the plugin returned {describe(reply)}"
        return [problem(Check.RESULT, message, sample.name)]
    if declared == "SEGMENTATION" and image is not None:
        return _segmentation(manifest, sample, image)
    if declared == "MEASUREMENTS":
        return [*_measurements(manifest, sample, json_of(reply)), *_odd(sample, reply, image)]
    return _odd(sample, reply, image)


def _segmentation(manifest: Manifest, sample: Sample, labels: Array) -> list[Finding]:
    if labels.shape[: len(sample.shape)] != sample.shape or labels.ndim > len(sample.shape):
        message = (
            f"the label map is {_shown(labels.shape)}; the shape of the image, {_shown(sample.shape)}, is expected"
            f"{' (rows and columns are swapped)' if labels.shape == sample.shape[::-1] else ''}"
        )
        return [problem(Check.RESULT, message, sample.name)]
    if not np.isfinite(labels).all() or (labels != np.round(labels)).any():
        strange = labels[~np.isfinite(labels) | (labels != np.round(labels))].flat[0]
        message = f"the label map has the value {strange!s}; whole numbers are expected"
        return [problem(Check.RESULT, message, sample.name)]
    numbers = {0} | {segment["number"] for segment in manifest.produces.get("segments") or []}
    unknown = sorted(set(np.unique(labels).astype(int).tolist()) - numbers)
    if unknown and len(numbers) > 1:
        shown = ", ".join(map(str, unknown[:5]))
        message = f"the labels {shown} are not among the segments of META.json: {', '.join(map(str, sorted(numbers)))}"
        return [problem(Check.RESULT, message, sample.name)]
    if unknown and min(unknown) < 0:
        message = f"the label map has the value {min(unknown)}; labels are not negative"
        return [problem(Check.RESULT, message, sample.name)]
    return []


def _measurements(manifest: Manifest, sample: Sample, found: Any) -> list[Finding]:
    paths = dict(_numbers(found))
    declared = [measurement["name"] for measurement in manifest.produces.get("measurements") or []]
    missing = [name for name in declared if name not in paths]
    if not paths:
        return [problem(Check.RESULT, "the measurements have no number; at least one is expected", sample.name)]
    if missing:
        message = f"the result has no number for META.json's measurements {', '.join(map(repr, missing))}"
        return [advice(Check.RESULT, message, sample.name)]
    return []


def _numbers(found: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers in JSON with their paths, with dots and without indices."""
    if isinstance(found, dict):
        for name, value in found.items():
            yield from _numbers(value, f"{path}.{name}" if path else str(name))
    elif isinstance(found, list):
        for value in found:
            yield from _numbers(value, path)
    elif isinstance(found, int | float) and not isinstance(found, bool):
        yield path, found


def _odd(sample: Sample, reply: Reply, image: Array | None) -> list[Finding]:
    """Find properties of a result that are seldom intended."""
    found: list[Finding] = []
    if image is not None and image.size and image.dtype.kind == "f" and np.isnan(image).all():
        message = (
            "a few samples that are not numbers make the whole result not-a-number (NaN)"
            if sample.odd
            else "the whole result is not-a-number (NaN), though all samples of the image are numbers"
        )
        found.append(advice(Check.NAN, message, sample.name))
    elif image is not None and image.dtype.kind == "f" and not sample.odd and np.isnan(image).any():
        count = int(np.isnan(image).sum())
        message = f"{count} samples of the result are not numbers (NaN), though all samples of the image are"
        found.append(advice(Check.NAN, message, sample.name))
    if reply.meta.get("kind") == "json" and None in _scalars(json_of(reply)):
        found.append(advice(Check.NAN, "the JSON has null, which is written for not-a-number (NaN)", sample.name))
    if image is not None and image.shape == sample.shape[::-1] != sample.shape:
        message = (
            f"the result is {_shown(image.shape)} and the image {_shown(sample.shape)}: rows and columns are swapped "
            "(ResultShape takes the width first)"
        )
        found.append(advice(Check.RESULT, message, sample.name))
    return found


def _scalars(found: Any) -> list[Any]:
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, list):
        return [scalar for each in found for scalar in _scalars(each)]
    return [found]


def _shown(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
