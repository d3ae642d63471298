"""Attributes taken over from a source: only what is well-formed, and what must be there is there (PS3.3 C.7)."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydicom import DataElement, Dataset
from pydicom.config import RAISE
from pydicom.valuerep import validate_value

from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.modules import level_of

#: Type 2 of the Patient and General Study modules (PS3.3 C.7.1.1, C.7.2.1): there, if only empty.
_ALWAYS: Final = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "ReferringPhysicianName",
    "StudyID", "AccessionNumber",
)  # fmt: skip

#: Enumerated values: anything else is left out.
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

#: Needed with something that other objects lack; the patient's identity is not to change because of it.
_DROPPED: Final = frozenset({
    "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence",
    "ReferencedStudySequence", "ReferencedPatientSequence", "TimezoneOffsetFromUTC",
})  # fmt: skip

#: They make up ids in the catalog, so they are taken over whatever they look like.
_IDENTIFYING: Final = frozenset({"PatientID", "IssuerOfPatientID", "StudyInstanceUID"})


def words(text: str) -> tuple[str, ...]:
    """The words of a long list."""
    return tuple(text.split())


#: Body parts (PS3.16 annex L) that there is one of.
_UNPAIRED: Final = frozenset(
    words("""
    ABDOMEN ABDOMENPELVIS AORTA BACK BLADDER BRAIN CEREBELLUM CHEST CHESTABDOMEN COCCYX COLON CSPINE ESOPHAGUS FACE
    GALLBLADDER HEAD HEADNECK HEART JAW LARYNX LIVER LSPINE MAXILLA MEDIASTINUM MOUTH NECK NOSE PANCREAS PELVIS PENIS
    PROSTATE RECTUM SKULL SPINE SPLEEN SSPINE STERNUM STOMACH THYMUS THYROID TONGUE TRACHEA TSPINE URETER UTERUS
    WHOLEBODY
    """)
)


def study_elements(source: Dataset) -> list[DataElement]:
    """The elements that describe patient and study, with those that every object needs."""
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
    """Pick the attributes that are there, and well-formed and not empty."""
    found = [source[keyword] for keyword in keywords if keyword in source]
    return [element for element in found if not element.is_empty and is_sound(element)]


def copy_elements(ds: Dataset, elements: Iterable[DataElement]) -> None:
    """Put elements into a dataset, in place of those that are there."""
    for element in elements:
        ds.add(DataElement(element.tag, element.VR, element.value))  # one of its own: an assignment changes elements


def is_sound(element: DataElement) -> bool:
    """Whether an element may be taken over: its values are of its VR, and enumerated ones are known."""
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
    """Text that fits a value: no control characters, no backslash (which separates values) unless it is kept."""
    plain = "".join(
        each if each.isprintable() and (each != "\\" or each in keep) else " " for each in str(text or "")
    ).strip()
    data = plain.encode("utf-8", "replace")
    # A limit of characters is met with as many bytes: there is software that counts them.
    return plain if len(data) <= longest else data[: longest - 3].decode("utf-8", "ignore") + "…"


def describe_side(ds: Dataset) -> None:
    """Laterality (0020,0060) of an image, type 2C: empty where the body part may be one of a pair, else absent."""
    if str(ds.get("BodyPartExamined") or "") in _UNPAIRED:
        ds.pop("Laterality", None)
    elif "Laterality" not in ds:
        ds.Laterality = None


def ascii_code(text: str) -> str:
    """A short string that is a code, in ASCII and of at most 16 characters."""
    return text.encode("ascii", "replace").decode("ascii")[:16].strip()
