"""Input and results of plugins: datasets and pixels in; JSON, an encoded picture, bytes or DICOM out."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from functools import partial
from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
from PIL import Image
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from neurdicom.dicom.edits.apply import edit_dataset
from neurdicom.dicom.geometry.planes import describe_volume
from neurdicom.errors import Invalid, NotAvailable, NotFound, PluginFailed
from neurdicom.pixels.decode.image_pixel import as_layout
from neurdicom.pixels.decode.pydicom_tables import mend_tables
from neurdicom.pixels.encode.arrays import describe, encode
from neurdicom.pixels.encode.formats import MEDIA_TYPES, SHOWING_ONE, WHOLE_SAMPLES
from neurdicom.pixels.planes import planes_of
from neurdicom.workers.loaders.native import ImageBuffer
from neurdicom.workers.loaders.pixel_input import read_image
from neurdicom.workers.program import Program
from neurdicom.workers.protocol import Body

Answer = tuple[dict[str, Any], Body]
Array = npt.NDArray[Any]

#: Most bytes of JSON that accompany an image in the reply's `meta`; longer JSON is left out.
_MOST_BESIDE: Final = 512 << 10
_DEEPEST: Final = 200
#: In the file meta of a dataset without SOP Instance UID; constant, so that equal results have equal bytes.
_UNNAMED: Final = "2.25.0"
_NUMBERS: Final = "biuf"
_CHANNELS: Final = (1, 3, 4)
#: Values of more bytes are read from the file on first access.
_DEFERRED: Final = 16 << 10


def dataset_of(arguments: Mapping[str, Any]) -> Dataset:
    """Read the instance as a pydicom Dataset, its pixels not yet decoded.

    Edits in the arguments (`edits`: a list of {field, value, user, time}) are applied.
    """
    return _dataset(arguments, None)


def datasets_of(arguments: Mapping[str, Any]) -> list[Dataset]:
    """Read the instances of a series (`files`: a list of {path, edits}), in order.

    Their pixels are not read yet: a plugin that looks at one after the other need not hold them all.
    """
    return [_dataset(one, _DEFERRED) for one in arguments["files"]]


def _dataset(one: Mapping[str, Any], defer: int | None) -> Dataset:
    try:
        ds = dcmread(one["path"], force=True, defer_size=defer)
    except FileNotFoundError as error:
        raise NotFound("the file of this instance is gone") from error
    mend_tables(ds, one["path"], as_layout(one["layout"]) if "layout" in one else None)
    if one.get("edits"):
        edit_dataset(ds, one["edits"])
    return ds


def pixels_of(arguments: Mapping[str, Any], program: Program, buffer: ImageBuffer, *, single: bool) -> Array:
    """Read one frame as a native plugin gets it.

    Parameters
    ----------
    arguments : Mapping
        Of the call: `path`, `layout`, `frame`.
    program : Program
        Its `input` says whether the modality LUT is applied.
    buffer : ImageBuffer
        Gives the memory.
    single : bool
        float32 instead of float64.

    Returns
    -------
    ndarray of float64, or of float32 if `single`
        Shape (rows, columns), 64-byte aligned, in the buffer; stored values, or the modality's unit, as `input` says.

    Raises
    ------
    Invalid, NotAvailable, NotFound
        As `read_image`.
    """
    take = partial(buffer.take, single=single)
    return read_image(arguments["path"], arguments["layout"], arguments.get("frame") or 1, program.input, take)


def image_of(arguments: Mapping[str, Any], program: Program) -> dict[str, Any]:
    """Build the `_image` parameter of a native plugin for one frame, read from the file."""
    layout, frame = as_layout(arguments["layout"]), arguments.get("frame") or 1
    known = {edit["field"]: edit["value"] for edit in arguments.get("edits") or ()}
    planes = planes_of(arguments["instance"], arguments["path"], layout, known, [frame])
    return describe_volume(planes, program.input)


def from_native(
    image: Array | None,
    text: str | None,
    arguments: Mapping[str, Any],
    program: Program,
    *,
    is_stack: bool = False,
) -> Answer:
    """Encode the result of a native plugin: its image, its JSON, or its image with the JSON in `meta["json"]`.

    Parameters
    ----------
    image : ndarray of float64 or float32, or None
        Result of `Process` or `ProcessVolume`: shape ([depth,] rows, columns[, channels]).
    text : str or None
        Result of `ResultJson`.
    arguments : Mapping
        Of the call: `format`, `frame`.
    program : Program
        Its `result` is the declared kind.
    is_stack : bool
        The first axis of the image is that of slices.

    Returns
    -------
    meta : dict
        `kind`, `media_type`, and a description of the image.
    body : bytes-like
        The encoded result.

    Raises
    ------
    PluginFailed
        The plugin gave neither, or text that is not JSON.
    Invalid
        There is no such frame in the result.
    NotAvailable
        The result can't be given in the format asked for.
    """
    wants_json = program.gives_json or (arguments.get("format") == "json" and (text is not None or not program.result))
    if program.result is None:  # NULL with JSON and without an error is JSON instead of an image
        wants_json = wants_json or (image is None and text is not None)
    if wants_json:
        if text is None:
            raise PluginFailed(f"{program.title} gave no JSON: ResultJson is missing or returned NULL")
        return {"kind": "json", "media_type": "application/json"}, orjson.dumps(_parse(text, program))
    if image is None:
        raise PluginFailed("Process returned NULL")
    meta, body = _picture(image, arguments, is_stack=is_stack)
    if text is not None and len(text) <= _MOST_BESIDE:
        meta["json"] = _parse(text, program)
    return meta, body


def _parse(text: str, program: Program) -> Any:
    try:
        return orjson.loads(text)
    except ValueError as error:
        raise PluginFailed(f"{program.title}: what ResultJson returned is not JSON: {error}") from None


def from_python(result: Any, arguments: Mapping[str, Any], program: Program) -> Answer:
    """Encode the value that a Python plugin's `process` returned, by its type and the declared kind of result.

    Parameters
    ----------
    result : object
        A dict, list, array, PIL image, Dataset, list of Dataset, bytes, or a pair of an image and a dict.
    arguments : Mapping
        Of the call: `format`, `frame`.
    program : Program
        Its `result` is the declared kind.

    Returns
    -------
    meta : dict
        `kind`, `media_type`, and a description of an image.
    body : bytes-like
        The encoded result.

    Raises
    ------
    PluginFailed
        It is no result, or not of the declared kind.
    Invalid
        There is no such frame in the result.
    NotAvailable
        The result can't be given in the format asked for.
    """
    if result is None:
        raise PluginFailed(f"{program.title}: process returned None; a dict, list, array, image or Dataset is expected")
    if isinstance(result, bytes | bytearray | memoryview):
        if isinstance(result, memoryview):  # which may be of any type, shape and strides
            result = result.tobytes()
        return {"kind": "bytes", "media_type": "application/octet-stream"}, result
    datasets = _datasets(result)
    if datasets:
        return _dicom(datasets)
    if isinstance(result, Image.Image):
        return _picture(_samples(result), arguments, picture=True)
    if program.gives_json or (program.result is None and _is_json(result)):
        return {"kind": "json", "media_type": "application/json"}, to_json(result, program)
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping):
        return _image_and_json(*result, arguments, program)
    try:
        array = np.asarray(result)
    except ValueError as error:
        raise PluginFailed(f"{program.title}: the value that process returned is no image: {error}") from None
    if array.dtype.kind not in _NUMBERS or not _can_be_picture(array):
        kind = f"{type(result).__name__} ({array.ndim}-D, {array.dtype})"
        raise PluginFailed(f"{program.title}: process returned {kind}; an image is a 2-D or 3-D array of numbers")
    return _picture(array, arguments, is_stack=array.ndim == 4 or (array.ndim == 3 and array.shape[2] not in _CHANNELS))


def _image_and_json(image: Any, beside: Mapping[Any, Any], arguments: Mapping[str, Any], program: Program) -> Answer:
    """Encode an image with JSON, returned as a pair by a Python plugin that declares an image; as `from_native`."""
    text = to_json(beside, program)
    if arguments.get("format") == "json":
        return {"kind": "json", "media_type": "application/json"}, text
    meta, body = from_python(image, arguments, program)
    if len(text) <= _MOST_BESIDE:
        meta["json"] = orjson.loads(text)
    return meta, body


def _is_json(result: Any) -> bool:
    """Tell whether a result is JSON where the plugin declares no kind: anything but an array that can be a picture."""
    return not (hasattr(result, "__array__") and _can_be_picture(np.asarray(result)))


def _can_be_picture(array: Array) -> bool:
    """Tell whether an array is an image, a stack of grey ones, or a stack of coloured ones."""
    return array.ndim in (2, 3) or (array.ndim == 4 and array.shape[3] in _CHANNELS)


def _datasets(result: Any) -> list[Dataset]:
    if isinstance(result, Dataset):
        return [result]
    if isinstance(result, Sequence) and result and all(isinstance(each, Dataset) for each in result):
        return list(result)
    return []


def _picture(array: Array, arguments: Mapping[str, Any], *, picture: bool = False, is_stack: bool = False) -> Answer:
    """Encode an image; for a picture format, the requested frame or slice of a stack."""
    wanted = arguments.get("format") or "png"
    if wanted == "json":
        raise NotAvailable("the plugin's result is an image, which is not given as json")
    if is_stack and wanted in SHOWING_ONE:
        frame = arguments.get("frame") or 1
        if not 1 <= frame <= len(array):
            raise Invalid(f"frame is {frame}; the plugin's result has {len(array)} frames", field="frame")
        array, is_stack = array[frame - 1], False
    meta: dict[str, Any] = {"kind": "image", "samples": describe(array, "npy")["dtype"]} | describe(array, wanted)
    if picture:
        meta["picture"] = True
    if is_stack:
        meta["stack"] = True
    if wanted in WHOLE_SAMPLES and array.dtype.kind in _NUMBERS:  # samples of that type are sent without another copy
        samples = np.ascontiguousarray(array, dtype=WHOLE_SAMPLES[wanted])
        body = samples.data.cast("B") if samples.size else b""
        return meta | {"media_type": MEDIA_TYPES[wanted]}, body
    if wanted == "npy" and array.flags.c_contiguous and array.dtype.isnative and array.size:
        # A volume and a copy of it would seldom fit into the plugin's memory limit.
        return meta | {"media_type": MEDIA_TYPES[wanted]}, (_npy_header(array), array.reshape(-1).view("u1").data)
    media_type, encoded = encode(array, wanted, picture=picture)
    return meta | {"media_type": media_type}, encoded


def _npy_header(array: Array) -> bytes:
    """Encode the part of an .npy file before the samples."""
    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    return header.getvalue()


def _samples(image: Image.Image) -> Array:
    """Convert a PIL image to an array, in a mode without palette and without premultiplied alpha."""
    if image.mode in ("L", "RGB", "RGBA", "I", "F", "1") or image.mode.startswith("I;16"):
        return np.asarray(image)
    if image.mode == "La":
        image = image.convert("LA")
    has_alpha = image.mode in ("LA", "PA", "RGBa") or "transparency" in image.info
    return np.asarray(image.convert("RGBA" if has_alpha else "RGB"))


def to_json(result: Any, program: Program) -> bytes:
    """Encode a plugin's result as JSON; numpy's and pydicom's values are converted, not-a-number becomes null."""
    options = orjson.OPT_SERIALIZE_NUMPY
    try:
        return orjson.dumps(result, option=options)
    except TypeError:
        pass  # some value needs a conversion, or has no JSON form
    try:
        return orjson.dumps(_plain(result, 0), option=options)
    except (TypeError, ValueError) as error:
        raise PluginFailed(
            f"{program.title}: the value that process returned can't be encoded as JSON: {error}"
        ) from None


def _plain(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise ValueError(f"it is nested more than {_DEEPEST} deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist(), depth) if not isinstance(value, np.void) else value.item()
    for kind in (str, int, float):  # plain, whatever subclass of pydicom's it was
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Mapping):
        return {_key(key): _plain(each, depth + 1) for key, each in value.items()}
    if isinstance(value, Dataset):
        return value.to_json_dict()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date | time | uuid.UUID):
        return value.isoformat() if not isinstance(value, uuid.UUID) else str(value)
    if isinstance(value, bytes | bytearray | memoryview | complex):
        raise TypeError(f"{type(value).__name__} is no value of JSON")
    if hasattr(value, "__array__"):
        return _plain(np.asarray(value).tolist(), depth)
    if hasattr(value, "__iter__") and not hasattr(value, "original_string"):
        return [_plain(each, depth + 1) for each in value]
    if hasattr(value, "original_string") or hasattr(value, "__fspath__"):  # PersonName; paths
        return str(value)
    raise TypeError(f"{type(value).__name__} is no value of JSON")


def _key(key: Any) -> str:
    if isinstance(key, str | int | float | np.generic) or key is None:
        return str(key)
    raise TypeError(f"a key of type {type(key).__name__}")


def _dicom(datasets: list[Dataset]) -> Answer:
    """Encode one Dataset as application/dicom, several as multipart/related with a part each."""
    files = [_file(ds) for ds in datasets]
    if len(files) == 1:
        return {"kind": "dicom", "media_type": "application/dicom"}, files[0]
    boundary = uuid.uuid4().hex
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode("ascii")
    body = b"".join(head + file + b"\r\n" for file in files) + f"--{boundary}--\r\n".encode("ascii")
    return {"kind": "dicom", "media_type": f'multipart/related; type="application/dicom"; boundary={boundary}'}, body


def _file(ds: Dataset) -> bytes:
    """Encode a dataset as a DICOM file.

    A missing SOP Instance UID stays missing: it is assigned when the file is stored.
    """
    meta = FileMetaDataset()
    meta.update(getattr(ds, "file_meta", {}))
    if "TransferSyntaxUID" not in meta:
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
    # UIDs of this dataset, not of the one that it was copied from.
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        if ds.get(keyword):
            setattr(meta, f"MediaStorage{keyword}", ds[keyword].value)
    if "MediaStorageSOPInstanceUID" not in meta:
        meta.MediaStorageSOPInstanceUID = UID(_UNNAMED)
    ds.file_meta = meta
    file = BytesIO()
    dcmwrite(file, ds, enforce_file_format=True)
    return file.getvalue()
