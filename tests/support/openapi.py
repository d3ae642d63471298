"""The OpenAPI description as schemathesis reads it, with the serializers and formats that it needs for ours."""

import schemathesis
from hypothesis import strategies as st
from schemathesis.schemas import APIOperation

from neurdicom.app.server import ROUTES
from neurdicom.http.openapi import describe


@schemathesis.serializer("multipart/related", "application/dicom")
def as_it_is(context: object, value: object) -> bytes:
    """Bodies of Store transactions; schemathesis knows no such media types."""
    data = getattr(value, "data", value)
    return data if isinstance(data, bytes) else str(data).encode("utf-8", "surrogatepass")


_ATTRIBUTE = st.sampled_from(["all", "PatientID", "StudyDescription", "00081030", "RequestAttributesSequence.00400009"])
# Without tags: what these take depends on their value representation, which no schema has.
_KEYWORDS = ["PatientID", "StudyDate", "StudyDescription", "RequestAttributesSequence"]
schemathesis.openapi.format("dicom-attribute", st.sampled_from(_KEYWORDS))
schemathesis.openapi.format("dicom-attributes", st.lists(_ATTRIBUTE, min_size=1, max_size=3).map(",".join))

OPERATIONS: list[APIOperation] = [
    found.ok()  # type: ignore[union-attr]  # a description that is wrong is an error here
    for found in schemathesis.openapi.from_dict(describe(ROUTES)).get_all_operations()
]
