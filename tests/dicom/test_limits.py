"""Limits of the scanner of headers, which keep its memory and time bounded."""

from pathlib import Path

import orjson
import pytest

from neurdicom.dicom.codec import scan
from neurdicom.dicom.header import Header
from neurdicom.dicom.part10 import read_header
from neurdicom.errors import Malformed
from tests.support.dicom.files import ElementWriter


def header_of(path: Path, data: bytes) -> Header:
    path.write_bytes(data)
    return read_header(path)


@pytest.mark.parametrize("undefined", [False, True])
def test_too_many_items_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undefined: bool) -> None:
    monkeypatch.setattr(scan, "MAX_ITEMS", 5000)
    w, path = ElementWriter(), tmp_path / "a.dcm"
    header_of(
        path, w.file(w.dataset(w.sequence(0x00081115, w.item(b"", undefined=undefined) * 5000, undefined=undefined)))
    )
    with pytest.raises(Malformed, match="more than 5000 items"):
        header_of(
            path,
            w.file(w.dataset(w.sequence(0x00081115, w.item(b"", undefined=undefined) * 5001, undefined=undefined))),
        )


def test_items_whose_text_would_fill_the_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "MAX_TEXT", 100_000)
    w, path = ElementWriter(), tmp_path / "a.dcm"
    item = w.item(w.element(0x00081030, "LO", "x" * 1000))
    found = orjson.loads(header_of(path, w.file(w.dataset(w.sequence(0x00081115, item * 95)))).json)
    assert len(found["00081115"]["Value"]) == 95
    with pytest.raises(Malformed, match="more than 100000 bytes of items"):
        header_of(path, w.file(w.dataset(w.sequence(0x00081115, item * 105))))
