"""Datasets that a plugin made itself: checked, and otherwise kept as they are."""

import re
import string
from io import BytesIO
from typing import Any, Final

from pydicom import Dataset, dcmread
from pydicom.uid import UID

from neurdicom.dicom.codec.transfer_syntaxes import BIG_ENDIAN, EXPLICIT, IMPLICIT
from neurdicom.dicom.uids import check_uid
from neurdicom.errors import Invalid, PluginFailed
from neurdicom.processing.dicom_output.attributes import copy_elements, study_elements
from neurdicom.processing.dicom_output.common_modules import Record, contribution, uid_of

#: Transfer syntaxes for which the length of Pixel Data follows from the header.
_NATIVE: Final = frozenset({IMPLICIT, EXPLICIT, BIG_ENDIAN})
_BITS: Final = {"PixelData": None, "FloatPixelData": 32, "DoubleFloatPixelData": 64}
#: Characters in which two names of one patient do not differ, however their text was encoded.
_COMPARED: Final = frozenset(string.ascii_lowercase + string.digits)
_BROKEN: Final = (ValueError, TypeError, KeyError, AttributeError, OverflowError, NotImplementedError, EOFError)


def returned_datasets(body: bytes | memoryview, media_type: str, record: Record) -> list[Dataset]:
    """Read the datasets of a plugin's reply, completed to instances of the source's study.

    UIDs, patient and study are set where they are missing; otherwise patient (name and ID) and study must be those of
    the source.

    Parameters
    ----------
    body : bytes-like
        A file, or several as multipart/related.
    media_type : str
        Of the body.
    record : Record
        Origin of the result.

    Raises
    ------
    PluginFailed
        One can't be stored; the message says which and why.
    """
    files = _parts(bytes(body), media_type)
    datasets: list[Dataset] = []
    for number, data in enumerate(files, 1):
        name = f"the dataset of {record.tool['name']}" + (f" ({number} of {len(files)})" if len(files) > 1 else "")
        try:
            ds = dcmread(BytesIO(data))
            _complete(ds, record, number, name)
            _check_pixels(ds, name)
        except Invalid as error:
            raise PluginFailed(f"{name} can't be stored: {error}") from error
        except _BROKEN as error:
            raise PluginFailed(f"{name} can't be read back: {error}") from error
        datasets.append(ds)
    uids = [ds.SOPInstanceUID for ds in datasets]
    if len(set(uids)) < len(uids):
        raise PluginFailed(f"two datasets of {record.tool['name']} have the same SOP Instance UID")
    return datasets


def _parts(body: bytes, media_type: str) -> list[bytes]:
    found = re.search(r'boundary="?([^";]+)', media_type)
    if found is None:
        return [body]
    parts = (b"\r\n" + body).split(f"\r\n--{found[1]}".encode())[1:-1]
    return [part.partition(b"\r\n\r\n")[2] for part in parts]


def _complete(ds: Dataset, record: Record, number: int, name: str) -> None:
    source = record.source
    sop_class = str(ds.get("SOPClassUID") or ds.file_meta.get("MediaStorageSOPClassUID") or "")
    check_uid(sop_class, "sop_class_uid")
    ds.SOPClassUID = UID(sop_class)
    if not ds.get("SOPInstanceUID"):
        ds.SOPInstanceUID = UID(record.instance_uid(number))
    if not ds.get("SeriesInstanceUID"):
        kind = ds.get("Modality"), sop_class
        ds.SeriesInstanceUID = UID(uid_of("series", record.run, record.series, *kind))
    for field, keyword in (("sop_instance_uid", "SOPInstanceUID"), ("series_instance_uid", "SeriesInstanceUID")):
        check_uid(str(ds[keyword].value), field)
    sources = {plane.reference[1] for plane in record.planes}
    if ds.SOPInstanceUID in sources:
        raise PluginFailed(f"{name} has the SOP Instance UID of its source; it needs a new one, or none")
    _belong(ds, source, name)
    items = list(ds.get("ContributingEquipmentSequence") or [])
    ds.ContributingEquipmentSequence = [*items, contribution(record)]
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID


def _belong(ds: Dataset, source: Dataset, name: str) -> None:
    """Set patient and study where they are missing, and compare them with the source where they are present."""
    known = {element.keyword: element for element in study_elements(source)}
    for keyword in ("StudyInstanceUID", "PatientID", "IssuerOfPatientID"):
        given, expected = _text(ds.get(keyword)), _text(source.get(keyword))
        if given and given != expected:
            raise PluginFailed(f"{name} has the {keyword} {given!r}; that of its source, {expected!r}, is expected")
    given, expected = _text(ds.get("PatientName")), _text(source.get("PatientName"))
    if (own := _ascii_name(given)) and (other := _ascii_name(expected)) and own != other:
        raise PluginFailed(f"{name} has the PatientName {given!r}; that of its source, {expected!r}, is expected")
    missing = [each for keyword, each in known.items() if keyword not in ds or ds[keyword].is_empty]
    if any(not _text(element.value).isascii() for element in missing if element.VR != "SQ"):
        ds.decode()
        ds.SpecificCharacterSet = "ISO_IR 192"
    copy_elements(ds, missing)


def _text(value: Any) -> str:
    return str(value or "").strip(" \0")


def _ascii_name(name: str) -> str:
    """Reduce a person name to what compares in any character set: ASCII letters and digits of its first group."""
    return "".join(character for character in name.partition("=")[0].casefold() if character in _COMPARED)


def _check_pixels(ds: Dataset, name: str) -> None:
    for keyword, depth in _BITS.items():
        if keyword not in ds:
            continue
        missing = [each for each in ("Rows", "Columns", "SamplesPerPixel") if not ds.get(each)]
        if missing:
            raise PluginFailed(f"{name} has {keyword} but lacks {', '.join(missing)}")
        if ds.file_meta.TransferSyntaxUID not in _NATIVE or ds.get("PhotometricInterpretation") == "YBR_FULL_422":
            continue
        bits = depth or int(ds.BitsAllocated)
        samples = int(ds.Rows) * int(ds.Columns) * int(ds.SamplesPerPixel) * int(ds.get("NumberOfFrames") or 1)
        expected = (samples * bits + 7) // 8
        found = len(ds[keyword].value or b"")
        if not expected <= found <= expected + 1:
            raise PluginFailed(f"{name} has {found} bytes of {keyword}; by its header {expected} are expected")
