"""The OpenAPI description as schemathesis reads it, with the serializers and formats that it needs for ours."""

import schemathesis
from hypothesis import strategies as st
from schemathesis.schemas import APIOperation

from neurdicom.app.server import ROUTES
from neurdicom.http.openapi import describe

#: The Content-Type of a body of `in_one_part`: schemathesis leaves that of all multipart bodies to requests.
RELATED = 'multipart/related; type="application/dicom"; boundary=part'


def bytes_of(value: object) -> bytes:
    """The bytes of a file that was generated."""
    data = getattr(value, "data", value)
    return data if isinstance(data, bytes) else str(data).encode("utf-8", "surrogatepass")


@schemathesis.serializer("application/dicom")
def as_it_is(context: object, value: object) -> bytes:
    """The body of a Store transaction; schemathesis knows no such media type."""
    return bytes_of(value)


@schemathesis.serializer("multipart/related")
def in_one_part(context: object, value: object) -> bytes:
    """The body of a Store transaction with one part."""
    return b"--part\r\nContent-Type: application/dicom\r\n\r\n" + bytes_of(value) + b"\r\n--part--\r\n"


_ATTRIBUTE = st.sampled_from(["all", "PatientID", "StudyDescription", "00081030", "RequestAttributesSequence.00400009"])
# Without tags: what these take depends on their value representation, which no schema has.
_KEYWORDS = ["PatientID", "StudyDate", "StudyDescription", "RequestAttributesSequence"]
schemathesis.openapi.format("dicom-attribute", st.sampled_from(_KEYWORDS))
schemathesis.openapi.format("dicom-attributes", st.lists(_ATTRIBUTE, min_size=1, max_size=3).map(",".join))

OPERATIONS: list[APIOperation] = [
    found.ok()  # type: ignore[union-attr]  # a description that is wrong is an error here
    for found in schemathesis.openapi.from_dict(describe(ROUTES)).get_all_operations()
]
