"""A file that ends within its Pixel Data is refused: what is acknowledged is whole."""

from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from neurdicom.dicom.part10 import read_header
from neurdicom.errors import Malformed

#: Native, native in big endian, encapsulated with one fragment, and with several.
FILES = ("CT_small.dcm", "MR_small_bigendian.dcm", "JPEG2000.dcm", "SC_rgb_rle_2frame.dcm")


@pytest.mark.parametrize("name", FILES)
def test_cut_off_anywhere_in_pixel_data(name: str, tmp_path: Path) -> None:
    whole = Path(str(get_testdata_file(name))).read_bytes()
    file = tmp_path / name
    file.write_bytes(whole)
    layout = read_header(file).layout
    assert layout.pixel_offset is not None
    last = len(whole) if layout.pixel_length is None else layout.pixel_offset + layout.pixel_length
    for end in {layout.pixel_offset + 12, (layout.pixel_offset + last) // 2, last - 16}:
        file.write_bytes(whole[:end])
        with pytest.raises(Malformed, match="PixelData is cut off"):
            read_header(file)


def test_missing_delimiter_of_whole_fragments_is_no_loss(tmp_path: Path) -> None:
    whole = Path(str(get_testdata_file("JPEG2000.dcm"))).read_bytes()
    end = whole.rindex(b"\xfe\xff\xdd\xe0")
    file = tmp_path / "undelimited.dcm"
    file.write_bytes(whole[:end])
    assert read_header(file).layout.pixel_length is None
