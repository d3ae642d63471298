"""Attributes copied from a source: only well-formed values, and every attribute that is required (PS3.3 C.7)."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydicom import DataElement, Dataset
from pydicom.config import RAISE
from pydicom.valuerep import validate_value

from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.modules import level_of

#: Type 2 attributes of the Patient and General Study modules (PS3.3 C.7.1.1, C.7.2.1): present, possibly empty.
_ALWAYS: Final = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "ReferringPhysicianName",
    "StudyID", "AccessionNumber",
)  # fmt: skip

#: Enumerated values; any other value is left out.
_ENUMERATED: Final[Mapping[str, frozenset[str]]] = {
    "PatientSex": frozenset("MFO"),
    "TypeOfPatientID": frozenset({"TEXT", "RFID", "BARCODE"}),
    "QualityControlSubject": frozenset({"YES", "NO"}),
    "PatientIdentityRemoved": frozenset({"YES", "NO"}),
    "SmokingStatus": frozenset({"YES", "NO", "UNKNOWN"}),
    "PatientSexNeutered": frozenset({"ALTERED", "UNALTERED"}),
    "Laterality": frozenset("LR"),
    "ImageLaterality": frozenset("LRUB"),
    "PatientPosition": frozenset({"HFP", "HFS", "HFDR", "HFDL", "FFDR", "FFDL", "FFP", "FFS"}),
    "MRAcquisitionType": frozenset({"2D", "3D"}),
    "AngioFlag": frozenset("YN"),
    "BurnedInAnnotation": frozenset({"YES", "NO"}),
    "LossyImageCompression": frozenset({"00", "01"}),
}

#: Attributes that are left out: they are valid only together with others that the new object lacks.
_DROPPED: Final = frozenset({
    "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence",
    "ReferencedStudySequence", "ReferencedPatientSequence", "TimezoneOffsetFromUTC",
})  # fmt: skip

#: Attributes that form ids in the catalog, so they are copied even if malformed.
_IDENTIFYING: Final = frozenset({"PatientID", "IssuerOfPatientID", "StudyInstanceUID"})


def words(text: str) -> tuple[str, ...]:
    """Split a long list of words."""
    return tuple(text.split())


#: Unpaired body parts (PS3.16 annex L).
_UNPAIRED: Final = frozenset(
    words("""
    ABDOMEN ABDOMENPELVIS AORTA BACK BLADDER BRAIN CEREBELLUM CHEST CHESTABDOMEN COCCYX COLON CSPINE ESOPHAGUS FACE
    GALLBLADDER HEAD HEADNECK HEART JAW LARYNX LIVER LSPINE MAXILLA MEDIASTINUM MOUTH NECK NOSE PANCREAS PELVIS PENIS
    PROSTATE RECTUM SKULL SPINE SPLEEN SSPINE STERNUM STOMACH THYMUS THYROID TONGUE TRACHEA TSPINE URETER UTERUS
    WHOLEBODY
    """)
)


def study_elements(source: Dataset) -> list[DataElement]:
    """Collect the elements that describe patient and study, with those that every object needs."""
    found = {
        element.keyword: element
        for element in source
        if level_of(f"{element.tag:08X}") in (Level.PATIENT, Level.STUDY)
        and element.keyword not in _DROPPED
        and (element.keyword in _IDENTIFYING or is_sound(element))
    }
    empty = Dataset()
    for keyword in _ALWAYS:
        if keyword not in found:
            setattr(empty, keyword, None)
    return [*found.values(), *empty]


def sound_elements(source: Dataset, keywords: Iterable[str]) -> list[DataElement]:
    """Collect the named attributes that are present, well-formed and not empty."""
    found = [source[keyword] for keyword in keywords if keyword in source]
    return [element for element in found if not element.is_empty and is_sound(element)]


def copy_elements(ds: Dataset, elements: Iterable[DataElement]) -> None:
    """Copy elements into a dataset, in place of existing ones."""
    for element in elements:
        ds.add(DataElement(element.tag, element.VR, element.value))  # a copy: `ds.X = y` would change the source's


def is_sound(element: DataElement) -> bool:
    """Tell whether an element may be copied: its values fit its VR, and enumerated values are known."""
    if element.is_empty:
        return True
    values = element.value if element.VM > 1 else [element.value]
    if element.VR == "SQ":
        return all(len(item) and all(_is_whole(each) for each in item) for item in element.value)
    if (known := _ENUMERATED.get(element.keyword)) is not None:
        return str(element.value) in known
    try:
        for value in values:
            validate_value(element.VR, str(value) if element.VR in _TEXTS else value, RAISE)
    except (ValueError, TypeError, OverflowError):
        return False
    return True


_TEXTS: Final = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)


def _is_whole(element: DataElement) -> bool:
    return not element.is_empty and is_sound(element)


def fit(text: Any, longest: int, *, keep: str = "") -> str:
    """Shorten and clean a text for a value: no control characters, and no backslash (which separates values).

    Parameters
    ----------
    text : object
        The text; None is empty.
    longest : int
        Most bytes in UTF-8.
    keep : str
        A backslash, where it is allowed.
    """
    plain = "".join(
        each if each.isprintable() and (each != "\\" or each in keep) else " " for each in str(text or "")
    ).strip()
    data = plain.encode("utf-8", "replace")
    # The limit counts characters; bytes are counted here, since some software counts those.
    return plain if len(data) <= longest else data[: longest - 3].decode("utf-8", "ignore") + "…"


def describe_side(ds: Dataset) -> None:
    """Set Laterality (0020,0060), type 2C: empty where the body part may be one of a pair, else absent."""
    if str(ds.get("BodyPartExamined") or "") in _UNPAIRED:
        ds.pop("Laterality", None)
    elif "Laterality" not in ds:
        ds.Laterality = None


def ascii_code(text: str) -> str:
    """Convert a text to a code value: ASCII, at most 16 characters."""
    return text.encode("ascii", "replace").decode("ascii")[:16].strip()
