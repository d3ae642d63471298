"""Sample images, generated: DICOM files of the kinds that a plugin meets, and of unexpected ones."""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    MRImageStorage,
    ParametricMapStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from neurdicom.dicom.geometry.planes import FIELDS
from neurdicom.dicom.geometry.slices import slice_order
from neurdicom.dicom.part10 import read_header
from neurdicom.errors import Invalid
from neurdicom.pixels.decode.image_pixel import ImagePixel, as_layout
from neurdicom.pixels.pipeline import load_stored
from neurdicom.workers.executor import Input

Array = npt.NDArray[Any]

_SEED: Final = 20240229
_STORAGE: Final = {
    "CT": CTImageStorage,
    "MR": MRImageStorage,
    "US": UltrasoundImageStorage,
    "DX": DigitalXRayImageStorageForPresentation,
}


@dataclass(frozen=True, slots=True)
class Sample:
    """Input of one call.

    Attributes
    ----------
    name : str
        Name in reports.
    inputs : tuple of Input
        One frame, or the instances of a series in slice order.
    shape : tuple of int
        Rows and columns; slices, rows and columns for a series.
    colour : bool
        Whether it has three samples for each pixel.
    odd : bool
        Whether it has samples that are not numbers.
    volume : bool
        Whether it is a series.
    """

    name: str
    inputs: tuple[Input, ...]
    shape: tuple[int, ...]
    colour: bool = False
    odd: bool = False
    volume: bool = False

    @property
    def pixels(self) -> int:
        """Number of samples of one channel."""
        return int(np.prod(self.shape))


@dataclass(frozen=True, slots=True)
class _SampleKind:
    """Description of one sample file."""

    make: Callable[[np.random.Generator], Array]
    modality: str = "CT"
    photometric: str = "MONOCHROME2"
    storage: UID | None = None
    signed: bool = False
    bits: int = 0
    frame: int = 1
    syntax: UID = ExplicitVRLittleEndian
    elements: dict[str, Any] = field(default_factory=dict)


def _body(rows: int, columns: int, low: int, high: int, dtype: str) -> Callable[[np.random.Generator], Array]:
    """Draw an ellipse with a gradient and noise on a background: structure, as slices of a body have."""

    def make(random: np.random.Generator) -> Array:
        y, x = np.mgrid[0:rows, 0:columns]
        inside = ((y - rows / 2) / max(rows * 0.4, 1)) ** 2 + ((x - columns / 2) / max(columns * 0.35, 1)) ** 2 < 1
        values = np.where(inside, 0.5 + 0.4 * x / max(columns, 1), 0.05) + random.normal(0, 0.02, (rows, columns))
        return np.asarray(low + np.clip(values, 0, 1) * (high - low)).astype(dtype)

    return make


def _constant(value: float, shape: tuple[int, ...], dtype: str) -> Callable[[np.random.Generator], Array]:
    return lambda random: np.full(shape, value, dtype)


def _extremes(dtype: str) -> Callable[[np.random.Generator], Array]:
    """Draw the smallest and the largest value at random, to make a sum or a difference overflow."""
    limits = np.iinfo(dtype)
    return lambda random: np.where(random.random((33, 31)) < 0.5, limits.min, limits.max).astype(dtype)


def _holes(random: np.random.Generator) -> Array:
    values = random.normal(100, 20, (40, 36)).astype("f4")
    values[3, 5], values[20, 30], values[7, 7] = np.nan, np.nan, -np.inf
    return values


def _huge(random: np.random.Generator) -> Array:
    values = random.normal(0, 1e300, (24, 29))
    values[0, :4] = [np.finfo("f8").max, np.finfo("f8").min, np.finfo("f8").tiny / 4, -0.0]
    return values


_RESCALE: Final = {"RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU"}

#: Samples in the order of the report; the first is the plainest.
_KINDS: Final[dict[str, _SampleKind]] = {
    "slice": _SampleKind(_body(256, 256, 0, 2500, "u2"), bits=12, elements=_RESCALE),
    "signed": _SampleKind(
        _body(128, 160, -1500, 3000, "i2"), signed=True, elements={"RescaleSlope": 2, "RescaleIntercept": -10}
    ),
    "odd size": _SampleKind(_body(53, 37, 0, 4000, "u2"), modality="MR"),
    "1 × 1": _SampleKind(_constant(7, (1, 1), "u2"), modality="MR"),
    "one row": _SampleKind(_body(1, 23, 0, 300, "u2"), modality="MR"),
    "one column": _SampleKind(_body(19, 1, 0, 300, "u2"), modality="MR"),
    "constant": _SampleKind(_constant(-3, (16, 24), "i2"), signed=True),
    "zeros": _SampleKind(_constant(0, (24, 16), "u2"), modality="MR"),
    "extremes": _SampleKind(_extremes("u2")),
    "signed extremes": _SampleKind(_extremes("i2"), signed=True),
    "8 bit, white is 0": _SampleKind(_body(45, 64, 0, 255, "u1"), modality="DX", photometric="MONOCHROME1"),
    "32 bit": _SampleKind(_constant(2**31 + 5, (9, 11), "u4"), storage=SecondaryCaptureImageStorage),
    "large": _SampleKind(_body(1536, 1280, 0, 65535, "u2"), modality="DX"),
    "compressed": _SampleKind(_body(64, 61, 0, 900, "u2"), modality="MR", syntax=RLELossless),
    "colour": _SampleKind(lambda random: random.integers(0, 256, (47, 62, 3), "u1"), modality="US", photometric="RGB"),
    "multi-frame": _SampleKind(
        lambda random: random.integers(0, 200, (3, 25, 30), "u1"),
        modality="US",
        storage=UltrasoundMultiFrameImageStorage,
        frame=2,
    ),
    "not a number": _SampleKind(_holes, modality="MR", storage=ParametricMapStorage),
    "huge doubles": _SampleKind(_huge, modality="MR", storage=ParametricMapStorage),
}

#: Slices of a sample series.
_SLICES: Final = 5


def write_samples(folder: Path, modalities: tuple[str, ...] = ()) -> list[Sample]:
    """Write the sample images into a folder.

    Parameters
    ----------
    folder : Path
        An existing, empty folder.
    modalities : tuple of str
        Modalities that the plugin is made for. Grey samples of other modalities get the first of them; none: any.

    Returns
    -------
    list of Sample
        One for each file.
    """
    made = []
    for number, (name, kind) in enumerate(_KINDS.items(), start=1):
        random = np.random.default_rng([_SEED, number])
        pixels = kind.make(random)
        modality = kind.modality
        if modalities and modality not in modalities and pixels.ndim == 2 and pixels.dtype.kind != "f":
            modality = modalities[0]
        path = folder / f"{number:02}.dcm"
        _write(path, _dataset(kind, pixels, modality, number))
        shape = pixels.shape[-2:] if kind.photometric != "RGB" else pixels.shape[:2]
        made.append(
            Sample(
                name,
                (_input(path, kind.frame),),
                tuple(shape),
                colour=kind.photometric == "RGB",
                odd=bool(pixels.dtype.kind == "f" and not np.isfinite(pixels).all()),
            )
        )
    return made


def write_series(folder: Path, modalities: tuple[str, ...] = ()) -> list[Sample]:
    """Write sample series into a folder, as a plugin of level `series` gets them."""
    made = []
    for name, rows, columns, depth in (("series", 64, 56, _SLICES), ("odd series", 17, 9, 3), ("one slice", 12, 20, 1)):
        study, series = _uid(name, "study"), _uid(name, "series")
        inputs = []
        for index in range(depth):
            random = np.random.default_rng([_SEED, depth, index])
            kind = _SampleKind(_body(rows, columns, 0, 2500, "u2"), bits=12, elements=_RESCALE)
            pixels = kind.make(random)
            ds = _dataset(kind, pixels, modalities[0] if modalities else "CT", index + 1, f"{name} {index}")
            ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
            ds.ImagePositionPatient = [-40, -50, 2.5 * index]
            path = folder / f"{name.replace(' ', '-')}-{index:02}.dcm"
            _write(path, ds)
            inputs.append(_input(path, None))
        made.append(Sample(name, tuple(inputs), (depth, rows, columns), volume=True))
    return made


def sample_of(path: Path, frame: int = 1) -> Sample:
    """Make a sample of one of the author's files.

    Raises
    ------
    Invalid
        It has no pixels, or no such frame.
    NotDicom, Malformed
        It can't be read.
    """
    found = _input(path, frame)
    rows, columns = found.layout.get("rows") or 0, found.layout.get("columns") or 0
    if not rows or not columns:
        raise Invalid(f"{path} has no pixels", field="on")
    frames = found.layout.get("number_of_frames") or 1
    if frame > frames:
        raise Invalid(f"frame is {frame}; {path} has {frames} frames", field="frame")
    colour = (found.layout.get("samples_per_pixel") or 1) > 1
    odd = (
        ImagePixel.of(as_layout(found.layout)).is_float
        and not np.isfinite(load_stored(path, found.layout, frame).array).all()
    )
    return Sample(path.name, (found,), (rows, columns), colour=colour, odd=bool(odd))


def series_of(name: str, paths: list[Path]) -> Sample:
    """Make a sample of the author's files as one series, in slice order. Raises as `sample_of`."""
    samples = {_instance_of(path): (path, sample_of(path)) for path in paths}
    entities = [{"id": instance, **_known(path)} for instance, (path, _) in samples.items()]
    ordered = [samples[entity["id"]] for entity in slice_order(entities)]
    return Sample(
        name,
        tuple(_input(path, None) for path, _ in ordered),
        (len(ordered), *ordered[0][1].shape),
        volume=True,
    )


def _input(path: Path, frame: int | None) -> Input:
    """Describe one frame of a file, or a file as a slice of a series."""
    digest = sha256(path.read_bytes()).hexdigest()
    layout = read_header(path).layout.to_document()
    known = {} if frame is not None else _known(path)
    return Input(_instance_of(path), str(path.resolve()), digest, layout, frame, attributes=known)


def _instance_of(path: Path) -> str:
    return str(read_header(path).attributes["sop_instance_uid"])


def _known(path: Path) -> dict[str, Any]:
    """Read the attributes that a server's catalog has of a slice."""
    attributes = read_header(path).attributes
    return {each: attributes.get(each) for each in (*FIELDS, "modality", "instance_number")}


def _uid(*parts: str) -> str:
    return str(generate_uid(entropy_srcs=["neurdicom samples", *parts]))


def _dataset(kind: _SampleKind, pixels: Array, modality: str, number: int, name: str = "") -> Dataset:
    ds = Dataset()
    ds.SOPClassUID = kind.storage or _STORAGE.get(modality, SecondaryCaptureImageStorage)
    ds.SOPInstanceUID = _uid("instance", str(number), name)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = _uid("study"), _uid("series", str(number))
    ds.PatientID, ds.PatientName, ds.PatientSex, ds.PatientBirthDate = "SAMPLE", "Sample^Image", "O", "19700101"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20240229", "120000", "1", ""
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = modality, number, number
    ds.ReferringPhysicianName, ds.Manufacturer = "", "NeurDICOM samples"
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = _uid("frame of reference"), ""
    ds.PixelSpacing, ds.SliceThickness = [0.8, 0.7], 2.5
    ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-40, -50, 0]
    if pixels.dtype.kind != "f" and pixels.ndim == 2 and kind.photometric == "MONOCHROME2":
        ds.WindowCenter, ds.WindowWidth = 40, 400
    for keyword, value in kind.elements.items():
        setattr(ds, keyword, value)
    ds.PhotometricInterpretation = kind.photometric
    ds.SamplesPerPixel = 3 if kind.photometric == "RGB" else 1
    if ds.SamplesPerPixel == 3:
        ds.PlanarConfiguration = 0
    ds.Rows, ds.Columns = pixels.shape[:2] if ds.SamplesPerPixel == 3 else pixels.shape[-2:]
    if pixels.ndim == 3 and ds.SamplesPerPixel == 1:
        ds.NumberOfFrames = len(pixels)
    ds.BitsAllocated = pixels.dtype.itemsize * 8
    data = pixels.tobytes()
    if pixels.dtype.kind == "f":
        setattr(ds, "FloatPixelData" if ds.BitsAllocated == 32 else "DoubleFloatPixelData", data)
        ds.NumberOfFrames = 1
        return ds
    ds.BitsStored = kind.bits or ds.BitsAllocated
    ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, int(kind.signed)
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OB" if ds.BitsAllocated == 8 else "OW"
    if kind.syntax != ExplicitVRLittleEndian:
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.compress(kind.syntax, generate_instance_uid=False)
    return ds


def _write(path: Path, ds: Dataset) -> None:
    if not hasattr(ds, "file_meta"):
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dcmwrite(path, ds, enforce_file_format=True)
