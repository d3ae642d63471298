"""Tasks of the built-in worker: functions from JSON-able arguments to (meta, body)."""

from typing import Any

import numpy as np

from neurdicom.errors import Invalid, NotFound
from neurdicom.pixels.decode.image_pixel import ImagePixel, as_layout
from neurdicom.pixels.decode.native import native_bytes
from neurdicom.pixels.decode.source import Source
from neurdicom.pixels.encode import transcode as transcoding
from neurdicom.pixels.encode.arrays import describe, encode_picture
from neurdicom.pixels.encode.arrays import encode as encode_array
from neurdicom.pixels.encode.formats import MEDIA_TYPES, SHOWING_ONE
from neurdicom.pixels.grayscale.aspect import read_aspect
from neurdicom.pixels.grayscale.picture import crop, render, resize
from neurdicom.pixels.grayscale.voi import Window, WindowFunction
from neurdicom.pixels.pipeline import Frame, load_stored, palette_colours

Answer = tuple[dict[str, Any], bytes | memoryview]


def image(arguments: dict[str, Any]) -> Answer:
    """Render a frame.

    Parameters
    ----------
    arguments : dict
        `path`, `layout`, `frame` (from 1), `format` (png, jpeg, webp); optional `window` ([center, width]), `function`
        (VOI LUT Function of the window; by default the file's), `region` ([left, top, width, height], see `crop`),
        `width` and `height` (pixels), `enlarge` (false keeps smaller pictures as they are), `quality` (1 to 100),
        `edits` (field to value).

    Returns
    -------
    meta : dict
        `media_type`, `width`, `height`.
    body : bytes
        The encoded picture.
    """
    frame = load_stored(arguments["path"], arguments["layout"], arguments["frame"])
    function = arguments.get("function")
    window = _window(arguments.get("window"), function)
    picture = render(frame, window, arguments.get("edits"), keep_function=function is not None)
    if arguments.get("region"):
        picture = crop(picture, arguments["region"])
    width, height = arguments.get("width"), arguments.get("height")
    if width or height:
        aspect = read_aspect(frame.header())
        picture = resize(picture, width, height, enlarge=arguments.get("enlarge", True), aspect=aspect)
    body = encode_picture(picture, arguments["format"], arguments.get("quality"))
    media_type = f"image/{arguments['format']}"
    return {"media_type": media_type, "width": picture.shape[1], "height": picture.shape[0]}, body


def raw(arguments: dict[str, Any]) -> Answer:
    """Read a frame's stored values.

    Parameters
    ----------
    arguments : dict
        `path`, `layout`, `frame` (from 1); optional `format` (lum8, f32, f64, npy; by default the samples as they are).

    Returns
    -------
    meta : dict
        `media_type`, `shape`, `dtype` (as numpy writes it, little-endian), `photometric_interpretation`.
    body : bytes-like
        The samples, row by row.
    """
    frame = load_stored(arguments["path"], arguments["layout"], arguments["frame"])
    wanted = arguments.get("format")
    if wanted is None:
        array = np.ascontiguousarray(frame.array.astype(frame.array.dtype.newbyteorder("<"), copy=False))
        body: bytes | memoryview = array.reshape(-1).view("u1").data
        media_type, described = "application/octet-stream", describe(array, "raw")
    else:
        array = _grey_source(frame) if wanted == "lum8" else frame.array
        media_type, body = encode_array(array, wanted)
        described = describe(array, wanted)
    photometric = "MONOCHROME2" if wanted == "lum8" and frame.form.mono is False else frame.photometric
    return {"media_type": media_type, "photometric_interpretation": photometric, **described}, body


def frame(arguments: dict[str, Any]) -> Answer:
    """Read a frame's bytes in a transfer syntax, for clients that decode them.

    Parameters
    ----------
    arguments : dict
        `path`, `layout`, `frame` (from 1), `transfer_syntax` (UID). In the file's own transfer syntax native cells are
        returned as they are stored, though in little endian; otherwise the frame is decoded and encoded.

    Returns
    -------
    meta : dict
        Empty.
    body : bytes
        The frame's part of Pixel Data.
    """
    layout, number = as_layout(arguments["layout"]), arguments["frame"]
    if arguments["transfer_syntax"] == layout.transfer_syntax:
        form = ImagePixel.of(layout)
        with Source(arguments["path"], layout) as source:
            return {}, native_bytes(source, layout, form, form.index(number))
    return {}, transcoding.frame_bytes(arguments["path"], layout, number, arguments["transfer_syntax"])


def transcode(arguments: dict[str, Any]) -> Answer:
    """Write the file in another transfer syntax.

    Parameters
    ----------
    arguments : dict
        `path`, `layout`, `transfer_syntax` (UID), `output` (path of the file to write), `edits` (a list of
        {level, entity, field, value, user, time}).

    Returns
    -------
    meta : dict
        `size` of the output in bytes.
    body : bytes
        Empty.
    """
    try:
        size = transcoding.transcode(
            arguments["path"],
            as_layout(arguments["layout"]),
            arguments["transfer_syntax"],
            arguments["output"],
            arguments.get("edits") or [],
        )
    except FileNotFoundError as error:
        raise NotFound("the file of this instance is gone") from error
    return {"size": size}, b""


def encode(arguments: dict[str, Any]) -> Answer:
    """Encode an image whose samples are in a file.

    Parameters
    ----------
    arguments : dict
        `path`; `media_type`, `shape` and `dtype` of its content (NPY, or the samples alone); `format` (see
        `pixels.encode.arrays.encode`); optional `frame` (of a stack, from 1), `stack` (true: the first axis is the
        frames, whatever the shape), `picture` (true: 8-bit samples are a picture already), `kind` and `samples`, which
        are returned unchanged.

    Returns
    -------
    meta : dict
        `media_type`, `shape` and `dtype`.
    body : bytes
    """
    if arguments["media_type"] == MEDIA_TYPES["npy"]:
        array = np.load(arguments["path"], mmap_mode="r", allow_pickle=False)
    else:
        array = np.memmap(arguments["path"], arguments["dtype"], "r", shape=tuple(arguments["shape"]))
    wanted, is_stack = arguments["format"], arguments.get("stack", False)
    if wanted in SHOWING_ONE and (is_stack or (array.ndim == 3 and array.shape[2] not in (1, 3, 4))):
        number = arguments.get("frame") or 1
        if not 1 <= number <= len(array):
            raise Invalid(f"frame is {number}; the result has {len(array)}", field="frame")
        array = array[number - 1]
    meta: dict[str, Any] = {name: arguments[name] for name in ("kind", "samples", "picture") if name in arguments}
    media_type, body = encode_array(array, wanted, picture=arguments.get("picture", False))
    if is_stack and wanted not in SHOWING_ONE:
        meta["stack"] = True
    return meta | describe(array, wanted) | {"media_type": media_type}, body


def _window(given: tuple[float, float] | None, function: str | None = None) -> Window | None:
    if given is None:
        return None
    window = Window(*given, WindowFunction(function or WindowFunction.LINEAR)).as_valid()
    if window is None:
        raise Invalid(f"window_width is {given[1]}; more than 0 is expected", field="window_width")
    return window


def _grey_source(frame: Frame) -> Any:
    return palette_colours(frame) if frame.photometric == "PALETTE COLOR" else frame.array
