"""Verbs of the built-in workers that read volumes: each takes JSON-able arguments and returns (meta, body)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from neurdicom.dicom.geometry.planes import MAX_SLICES, Plane, describe_volume, order_volume
from neurdicom.dicom.header import Layout
from neurdicom.errors import Invalid, NeurdicomError, NotAvailable
from neurdicom.pixels.decode.image_pixel import ImagePixel, as_layout
from neurdicom.pixels.decode.native import check_frames
from neurdicom.pixels.planes import is_simple, planes_of, simple_plane
from neurdicom.workers.loaders.pixel_input import read_image
from neurdicom.workers.shared_memory import write_doubles

Answer = tuple[dict[str, Any], bytes]


def survey(arguments: dict[str, Any]) -> Answer:
    """Find the slices of a volume, and order them.

    Parameters
    ----------
    arguments : dict
        `instances`: a list of {`instance` (SOP Instance UID), `path`, `layout`, `attributes` (from the catalog)}, all
        frames of each being slices; `input` ("stored" or "modality").

    Returns
    -------
    meta : dict
        `shape` ([depth, rows, columns]) and `slices`: for each slice the index of its instance, and its frame from 1.
    body : bytes
        The plugin's `_image` parameter, in JSON.

    Raises
    ------
    NotAvailable
        An instance has no pixels, or the attributes that describe them contradict each other.
    Invalid
        The instances make no volume; see `order_volume`.
    """
    planes: list[Plane] = []
    index = {}
    for number, one in enumerate(arguments["instances"]):
        index[one["instance"]] = number
        try:
            planes += _planes(one, MAX_SLICES - len(planes))
        except NeurdicomError as error:
            raise _named(error, one["instance"]) from error
    ordered = order_volume(planes)
    shape = [len(ordered), ordered[0]["rows"], ordered[0]["columns"]]
    slices = [[index[plane["id"]], plane["frame"]] for plane in ordered]
    return {"shape": shape, "slices": slices}, orjson.dumps(describe_volume(ordered, arguments["input"]))


def fill(arguments: dict[str, Any]) -> Answer:
    """Read, decode and convert slices, each into its place in a volume's memory.

    Parameters
    ----------
    arguments : dict
        `instances`: a list of {`instance`, `path`, `layout`}; `slices`: for each slice the index of its instance, and
        its frame from 1; `first`: index in the volume of the first slice; `shape`: [rows, columns] of a slice; `input`
        ("stored" or "modality"); `descriptors`: the memory of the volume.

    Raises
    ------
    NotAvailable, NotFound
        An instance can't be decoded, or its file is gone; the message names it.
    """
    rows, columns = arguments["shape"]
    slices = arguments["slices"]
    layouts = [as_layout(one["layout"]) for one in arguments["instances"]]
    # Through a buffer that stays in the cache: mapped pages of shared memory are zeroed when they are first touched,
    # which together with the page faults takes longer than the copy.
    buffer = np.empty((rows, columns))

    def place(shape: tuple[int, int]) -> Any:
        if shape != buffer.shape:  # the codestream has another size than the header
            raise NotAvailable(
                f"the decoded pixels are {shape[1]} x {shape[0]}; Columns and Rows in the header are {columns} x {rows}"
            )
        return buffer

    for at, (number, frame) in enumerate(slices, arguments["first"]):
        one = arguments["instances"][number]
        try:
            read_image(one["path"], layouts[number], frame, arguments["input"], place)
        except NeurdicomError as error:
            raise _named(error, one["instance"], frame) from error
        write_doubles(arguments["descriptors"][0], buffer, at * buffer.size)
    return {}, b""


def _planes(one: Mapping[str, Any], left: int) -> list[Plane]:
    layout: Layout = as_layout(one["layout"])
    form = ImagePixel.of(layout)
    if form.frames > left:
        raise Invalid(f"with its {form.frames} frames there are more than {MAX_SLICES} slices, the most for a volume")
    check_frames(layout, form)
    if is_simple(layout):
        return [simple_plane(one["instance"], layout, one["attributes"])]
    return planes_of(one["instance"], one["path"], layout, one["attributes"], range(1, form.frames + 1))


def _named(error: NeurdicomError, instance: str, frame: int = 1) -> NeurdicomError:
    """Copy an error with the instance and frame that it is about in its message."""
    where = f"instance {instance}" + (f" frame {frame}" if frame > 1 else "")
    return type(error)(f"{where}: {error}", field=error.field)
