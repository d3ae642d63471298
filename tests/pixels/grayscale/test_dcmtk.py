"""Rendered pictures against those of DCMTK, for each kind of file that it can decode."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neurdicom.pixels.grayscale.lut import LookupTable
from neurdicom.pixels.grayscale.picture import render
from neurdicom.pixels.grayscale.voi import Window, read_voi
from neurdicom.pixels.pipeline import load_stored
from tests.support.pixel_files import layout_of
from tests.support.pixel_references import REFERENCES, Reference

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.skipif(shutil.which("dcmj2pnm") is None, reason="DCMTK's dcmj2pnm is not installed (Debian: dcmtk)"),
]

#: Where we differ and why.
KNOWN = {
    "pydicom-wheel/rtdose_expb.dcm": "DCMTK swaps 32-bit cells in OW by 16-bit words, the file has them as a whole",
    "pydicom-wheel/rtdose_expb_1frame.dcm": "as above",
    "dicomParser/CT1_UNC.explicit_little_endian.dcm": "DCMTK counts padding in the range",
    "fo-dicom/D_CLUNIE_CT1_RLE_FRAGS.dcm": "DCMTK counts padding in the range",
    "fo-dicom/multiframe.dcm": "DCMTK does not place the smaller codestreams of tiles at the edge",
    "pydicom-data/SC_ybr_full_uncompressed.dcm": "DCMTK converts YCbCr with integers, up to 2 off",
}


@pytest.mark.parametrize(
    "reference", [each for each in REFERENCES if each.file not in KNOWN], ids=lambda reference: reference.file
)
def test_pictures_agree(reference: Reference, tmp_path: Path) -> None:
    path, layout = layout_of(reference.path, tmp_path)
    frame = load_stored(path, layout, reference.frame)
    voi = read_voi(frame.header())
    options = ["+Wl", "1"] if isinstance(voi, LookupTable) else ["+Wm"]
    if isinstance(voi, Window):
        options = ["+Ww", str(voi.center), str(voi.width)]
    if not frame.form.mono:
        options = []
    command = [
        "dcmj2pnm",
        "-O",
        "+on",
        "+Fr",
        str(reference.frame),
        "1",
        *options,
        str(path),
        str(tmp_path / "picture"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    result = tmp_path / "picture.0.png"
    if not result.exists():
        assert done.returncode, "DCMTK says that it can't render it, and there is nothing to compare"
        return
    expected = np.asarray(Image.open(result)).astype(int)
    picture = render(frame)
    assert picture.shape == expected.shape
    assert np.abs(picture - expected).max() <= 1
