"""Every decoding path gives what the reference table says."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from neurdicom.dicom.codec.transfer_syntaxes import DEFLATED_FRAME
from neurdicom.dicom.header import Layout
from neurdicom.errors import NotAvailable
from neurdicom.pixels import tasks
from neurdicom.pixels.decode.codecs import CODECS
from neurdicom.pixels.decode.colour import LUMINANCE
from neurdicom.pixels.decode.pydicom_decoder import register_codecs
from neurdicom.pixels.encode.transcode import transcode
from neurdicom.pixels.pipeline import load_stored, to_double
from tests.support.pixel_files import layout_of
from tests.support.pixel_references import REFERENCES, Reference

#: pydicom warns of what is unusual in these files.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(params=REFERENCES, ids=lambda reference: reference.file)
def reference(request: pytest.FixtureRequest) -> Reference:
    return request.param


@pytest.fixture
def found(reference: Reference, tmp_path: Path) -> tuple[Path, Layout]:
    return layout_of(reference.path, tmp_path)


def test_stored_values(reference: Reference, found: tuple[Path, Layout]) -> None:
    frame = load_stored(*found, reference.frame)
    reference.check(frame.array)
    doubles = to_double(frame)
    assert doubles.ctypes.data % 64 == 0
    assert doubles.shape == reference.shape[:2]
    if frame.array.ndim == 2 and frame.photometric != "PALETTE COLOR":
        assert np.array_equal(doubles, frame.array)
    elif frame.array.ndim == 3:
        assert np.allclose(doubles, frame.array @ np.array(LUMINANCE))


def test_raw_samples(reference: Reference, found: tuple[Path, Layout]) -> None:
    arguments = {"path": str(found[0]), "layout": found[1].to_document(), "frame": reference.frame}
    meta, body = tasks.raw(arguments)
    reference.check(np.frombuffer(body, meta["dtype"]).reshape(meta["shape"]))


def test_pixel_array_of_a_plugin(reference: Reference, found: tuple[Path, Layout]) -> None:
    path, layout = found
    if layout.transfer_syntax not in CODECS or layout.transfer_syntax == DEFLATED_FRAME or "too_short" in path.name:
        return  # pydicom reads it by itself, or not at all
    register_codecs()
    array = pydicom.dcmread(path).pixel_array
    reference.check(array[reference.frame - 1] if (layout.number_of_frames or 1) > 1 else array)


@pytest.mark.parametrize("target", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.80"])
def test_transcoding_keeps_the_values(
    reference: Reference, found: tuple[Path, Layout], target: str, tmp_path: Path
) -> None:
    path, layout = found
    output = tmp_path / "transcoded.dcm"
    if target.startswith("1.2.840.10008.1.2.4") and (layout.bits_allocated not in (8, 16) or reference.dtype[0] == "f"):
        with pytest.raises(NotAvailable):  # JPEG-LS takes 8 and 16 bits
            transcode(path, layout, target, output)
        return
    assert transcode(path, layout, target, output) == output.stat().st_size
    reference.check(load_stored(*layout_of(output, tmp_path), reference.frame).array)
