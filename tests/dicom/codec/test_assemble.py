"""Files put together from the DICOM JSON model and bulk data: what is broken is refused, whatever it is."""

import io
from collections.abc import Iterator
from typing import Any

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurdicom.dicom.codec.assemble import BulkValue, assemble_file
from neurdicom.dicom.codec.dictionary import KNOWN_VRS
from neurdicom.errors import NeurdicomError

EXPLICIT, JPEG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"
TAGS = ["00080005", "00080016", "00080018", "00100010", "00280008", "00081140", "00091001", "7FE00010", "7fe00010"]

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def elements(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw stand-ins for an element, of the right form and of others."""
    members = st.sampled_from(["vr", "Value", "InlineBinary", "BulkDataURI"])
    return st.dictionaries(members, st.sampled_from(sorted(KNOWN_VRS)) | json | st.lists(inner, max_size=3), max_size=4)


datasets = st.recursive(
    json, lambda inner: st.dictionaries(st.sampled_from(TAGS), elements(inner), max_size=4), max_leaves=20
)


class Three:
    """Three bytes of bulk data."""

    length = 3

    def pieces(self) -> Iterator[bytes]:
        """Yield the value in two pieces."""
        yield b"ab"
        yield b"c"


def find(uri: str, path: str) -> list[BulkValue]:
    return [Three(), Three()]


@given(dataset=datasets, syntax=st.sampled_from([EXPLICIT, JPEG]))
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.slow
def test_what_is_no_dataset_is_refused_by_an_error_of_ours(dataset: Any, syntax: str) -> None:
    try:
        file = b"".join(assemble_file(dataset, find, syntax))
    except NeurdicomError:
        return
    assert file[128:132] == b"DICM"


def test_bulk_data_is_padded_and_encapsulated() -> None:
    dataset = {
        "00080018": {"vr": "UI", "Value": ["1.2.3"]},
        "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"]},
        "00420011": {"vr": "OB", "BulkDataURI": "a"},
        "7fe00010": {"vr": "OW", "BulkDataURI": "b"},
    }
    native = pydicom.dcmread(io.BytesIO(b"".join(assemble_file(dataset, find))))
    assert (native.EncapsulatedDocument, native.PixelData) == (b"abcabc", b"abcabc")
    compressed = pydicom.dcmread(io.BytesIO(b"".join(assemble_file(dataset, find, JPEG))))
    fragments = b"".join(b"\xfe\xff\x00\xe0\x04\0\0\0abc\0" for _ in range(2))
    assert compressed.PixelData == b"\xfe\xff\x00\xe0\x08\0\0\0\0\0\0\0\x0c\0\0\0" + fragments
    assert compressed.file_meta.TransferSyntaxUID == JPEG
