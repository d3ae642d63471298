"""Pixels for native code: the reading and conversion in one pass gives the same as the long way."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from neurdicom.dicom.header import Layout
from neurdicom.dicom.part10 import read_header
from neurdicom.errors import Invalid, NeurdicomError, NotAvailable
from neurdicom.pixels.decode.elements import read_header as read_pixel_header
from neurdicom.pixels.grayscale.modality import Rescale, read_modality
from neurdicom.pixels.pipeline import load_stored, to_double
from neurdicom.workers.loaders.native import aligned
from neurdicom.workers.loaders.pixel_input import read_image
from neurdicom.workers.program import Input
from tests.support.pixel_files import make_file

INPUTS: tuple[Input, ...] = ("stored", "modality")
RANDOM = np.random.default_rng(5)


def check(path: Path, layout: Layout, frame: int = 1) -> None:
    """Both inputs, as doubles and as floats, are bit for bit those of the general conversion."""
    for wanted in INPUTS:
        expected = to_double(load_stored(path, layout, frame), wanted)
        for single in (False, True):
            found = read_image(path, layout, frame, wanted, partial(aligned, single=single))
            assert found.dtype == ("f4" if single else "f8")
            np.testing.assert_array_equal(found, expected.astype(found.dtype))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("allocated", "stored", "high"),
    [
        (8, 8, 7),
        (8, 6, 5),
        (16, 16, 15),
        (16, 12, 11),
        (16, 12, 15),
        (16, 10, 12),
        (16, 1, 0),
        (32, 32, 31),
        (32, 24, 23),
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (517, 1031)])
def test_each_form_of_an_integer(
    tmp_path: Path, allocated: int, stored: int, high: int, signed: bool, size: tuple[int, int]
) -> None:
    cells = RANDOM.integers(0, 1 << allocated, size, "u8").astype(f"u{allocated // 8}")
    elements = {
        "BitsAllocated": allocated,
        "BitsStored": stored,
        "HighBit": high,
        "PixelRepresentation": int(signed),
        "RescaleSlope": "0.1",
        "RescaleIntercept": "-1024.3",
    }
    check(*make_file(tmp_path / "a.dcm", cells, **elements))


def test_frames(tmp_path: Path) -> None:
    frames = RANDOM.integers(0, 4096, (4, 33, 17), "u2").tobytes()
    path, layout = make_file(tmp_path / "a.dcm", frames, Rows=33, Columns=17, NumberOfFrames=4)
    for frame in range(1, 5):
        check(path, layout, frame)
    with pytest.raises(Invalid):
        read_image(path, layout, 5, "stored", partial(aligned, single=False))


def test_a_file_that_was_cut_off_since_it_came(tmp_path: Path) -> None:
    path, layout = make_file(tmp_path / "a.dcm", RANDOM.integers(0, 4096, (64, 64), "u2"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(NotAvailable, match="ends before"):
        read_image(path, layout, 1, "stored", partial(aligned, single=False))


@pytest.mark.filterwarnings("ignore::UserWarning")  # what pydicom says of odd values
@pytest.mark.slow
def test_real_files(data_set: Path) -> None:
    checked = lines = 0
    for path in sorted(filter(Path.is_file, data_set.rglob("*"))):
        try:
            layout = read_header(path).layout
            load_stored(path, layout)
        except (NeurdicomError, OSError):
            continue
        check(path, layout)
        checked += 1
        if layout.rescale_slope is not None and layout.rescale_intercept is not None:
            found = read_modality(read_pixel_header(path, layout, 0))
            assert found == Rescale(layout.rescale_slope, layout.rescale_intercept), path
            lines += 1
    assert checked > 200
    assert lines > 150
