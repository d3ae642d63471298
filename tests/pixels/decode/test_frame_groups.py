"""Functional groups of single frames, in all encodings, and of slides that have hundreds of thousands."""

from pathlib import Path

import pytest

from neurdicom.dicom.part10 import read_header
from neurdicom.pixels.decode.elements import read_header as read_elements
from tests.support.dicom.files import ALL_DEFLATED, BIG_ENDIAN, EXPLICIT, IMPLICIT, ElementWriter
from tests.support.slides import sparse_slide


def window(w: ElementWriter, center: int) -> bytes:
    """The Frame VOI LUT macro."""
    voi = w.element(0x00281050, "DS", str(center)) + w.element(0x00281051, "DS", "400")
    return w.sequence(0x00289132, w.item(voi))


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, *ALL_DEFLATED])
def test_each_frame_has_its_own(tmp_path: Path, syntax: str, undefined: bool) -> None:
    w = ElementWriter(syntax)
    items = [w.item(window(w, center), undefined=undefined) for center in (10, 20)] + [w.item(b"")]
    groups = w.sequence(0x52009229, w.item(window(w, 99))) + w.sequence(0x52009230, *items, undefined=undefined)
    image = w.image(1, 1)
    place = len(image) - len(w.element(0x7FE00010, "OW", bytes(2)))
    path = tmp_path / "a.dcm"
    path.write_bytes(w.file(w.dataset(after=image[:place] + groups + image[place:])))
    layout = read_header(path).layout
    found = [
        next(read_elements(path, layout, index).having("FrameVOILUTSequence", "WindowCenter")) for index in range(4)
    ]
    assert [each.number("WindowCenter") for each in found] == [10, 20, 99, 99]


def test_groups_of_unknown_value_representation(tmp_path: Path) -> None:
    w, inner = ElementWriter(EXPLICIT), ElementWriter(IMPLICIT)
    groups = w.element(0x52009230, "UN", inner.item(window(inner, 10)) + inner.item(window(inner, 20)))
    path = tmp_path / "a.dcm"
    path.write_bytes(w.file(w.dataset(after=groups + w.image(1, 1)[-14:])))
    layout = read_header(path).layout
    found = [next(read_elements(path, layout, index).having("FrameVOILUTSequence", "WindowCenter")) for index in (0, 1)]
    assert [each.number("WindowCenter") for each in found] == [10, 20]


@pytest.mark.parametrize("undefined", [False, True])
def test_the_groups_of_a_slide(tmp_path: Path, undefined: bool) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(sparse_slide(2500, undefined=undefined))
    layout = read_header(path).layout
    for number in (1, 1000, 2500):
        place = next(read_elements(path, layout, number - 1).having("FrameContentSequence", "DimensionIndexValues"))
        assert place.numbers("DimensionIndexValues") == [(number - 1) % 1000 + 1, (number - 1) // 1000 + 1]
