"""Descriptions of a stored file: its blob, its layout, and its header as the catalog keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from neurdicom.dicom.query.conditions import Value
from neurdicom.dicom.uids import patient_key


@dataclass(frozen=True, slots=True)
class BlobRef:
    """Reference to a blob: its key in the store, its size in bytes and the SHA-256 of its bytes in hexadecimal."""

    key: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Layout:
    """Layout of a file: offsets of its parts and attributes of its pixels, which spare readers a second parse.

    Offsets are in bytes from the beginning of the file. In a deflated file (PS3.5 A.5) those past `dataset_offset`
    count as if the dataset were stored inflated from there.

    Attributes
    ----------
    transfer_syntax : str
        Transfer Syntax UID; guessed from the dataset's form where File Meta Information lacks it.
    sop_class : str
        SOP Class UID, empty if unknown.
    dataset_offset : int
        Offset of the first byte after the File Meta Information.
    header_end : int
        Offset of the tag of Pixel Data; without Pixel Data the file's size, as stored, so deflated where the file is.
    pixel_keyword : str or None
        `PixelData`, `FloatPixelData`, `DoubleFloatPixelData`, or None without pixels.
    pixel_offset : int or None
        Offset of the first byte of its value.
    pixel_length : int or None
        Its declared length in bytes (a cut-off file may hold less); None if undefined (encapsulated).
    rows, columns, ... : int or str or None
        Attributes of the Image Pixel module (PS3.3 C.7.6.3) as the file has them.
    rescale_slope, rescale_intercept : float or None
        The linear modality transformation (PS3.3 C.11.1) of all frames, the identity where a file has none. Both are
        None where the file has a lookup table or differs by frame, or where they were not read: see the file then.
    """

    transfer_syntax: str
    sop_class: str
    dataset_offset: int
    header_end: int
    pixel_keyword: str | None = None
    pixel_offset: int | None = None
    pixel_length: int | None = None
    rows: int | None = None
    columns: int | None = None
    samples_per_pixel: int | None = None
    photometric_interpretation: str | None = None
    planar_configuration: int | None = None
    bits_allocated: int | None = None
    bits_stored: int | None = None
    high_bit: int | None = None
    pixel_representation: int | None = None
    number_of_frames: int | None = None
    rescale_slope: float | None = None
    rescale_intercept: float | None = None

    def to_document(self) -> dict[str, Any]:
        """Write the fields as a JSON object."""
        return {name: getattr(self, name) for name in self.__slots__}  # asdict() takes ten times as long

    @classmethod
    def from_document(cls, layout: Mapping[str, Any]) -> Self:
        """Read the object that `to_document` wrote; unknown members, of a later version, are ignored."""
        names = cls.__slots__
        return cls(**{name: value for name, value in layout.items() if name in names})


@dataclass(frozen=True, slots=True)
class Header:
    """A parsed header.

    Attributes
    ----------
    attributes : dict[str, Value]
        Field name to value for every attribute of `dicom.query.attributes`, None where absent or not readable.
    json : bytes
        The dataset without bulk data in the DICOM JSON model (PS3.18 F), UTF-8.
    layout : Layout
        Offsets of its parts and attributes of its pixels.
    """

    attributes: dict[str, Value]
    json: bytes
    layout: Layout

    @property
    def ids(self) -> tuple[str, str, str, str]:
        """Ids of the patient, the study, the series and the instance."""
        have = {field: str(value) for field, value in self.attributes.items() if value is not None}
        study = have["study_instance_uid"]
        patient = patient_key(have.get("patient_id"), have.get("issuer_of_patient_id"), study)
        return patient, study, have["series_instance_uid"], have["sop_instance_uid"]
