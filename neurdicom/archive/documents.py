"""Documents and videos that instances hold: the elements with them, and their media types."""

from collections.abc import Mapping
from dataclasses import dataclass

from neurdicom.catalog.records import Location
from neurdicom.dicom.codec.transfer_syntaxes import VIDEO_MEDIA_TYPES

PDF = "application/pdf"

#: SOP Class UID to the media type of its encapsulated documents (PS3.3 A.45, C.24.2).
DOCUMENTS: Mapping[str, str] = {
    "1.2.840.10008.5.1.4.1.1.104.1": PDF,
    "1.2.840.10008.5.1.4.1.1.104.2": "text/xml",  # CDA
    "1.2.840.10008.5.1.4.1.1.104.3": "model/stl",
    "1.2.840.10008.5.1.4.1.1.104.4": "model/obj",
    "1.2.840.10008.5.1.4.1.1.104.5": "model/mtl",
}

#: Tags of the elements that hold a document or pixels, and of the one with the document's length.
ENCAPSULATED_DOCUMENT = "00420011"
DOCUMENT_LENGTH = "00420015"
PIXEL_DATA = "7FE00010"


@dataclass(frozen=True, slots=True)
class Document:
    """A document or video that is returned as it is: the path of its element, and its media type."""

    path: str
    media_type: str


def document_of(location: Location) -> Document | None:
    """Return the document or video of an instance, None if it is neither."""
    media_type = DOCUMENTS.get(location.layout.get("sop_class", ""))
    if media_type is not None:
        return Document(ENCAPSULATED_DOCUMENT, media_type)
    video = VIDEO_MEDIA_TYPES.get(location.layout.get("transfer_syntax", ""))
    return Document(PIXEL_DATA, video) if video else None
