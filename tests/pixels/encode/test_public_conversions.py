"""Public files compared with their conversions, element by element."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import data
from pydicom.uid import JPEGBaseline8Bit

from neurdicom.errors import Invalid, Malformed, NotAvailable, NotDicom
from neurdicom.pixels.encode.codecs import ENCODERS
from neurdicom.pixels.encode.transcode import targets, transcode
from tests.support.checkout import DATA_SET
from tests.support.compared import DESCRIPTION, differences, tree_of
from tests.support.pixel_files import layout_of

LOSSLESS = [target for target in targets() if target != JPEGBaseline8Bit]
WHEEL = sorted((Path(data.__file__).parent / "test_files").glob("*.dcm"))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """pydicom warns of what these files have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def compare_all(path: Path, tmp_path: Path) -> int:
    """Compare a file with its conversions to all transfer syntaxes that can hold it; count them."""
    try:
        path, layout = layout_of(path, tmp_path)
    except (NotDicom, Malformed, Invalid, ValueError):
        return 0
    old = tree_of(path)[1]
    done = 0
    for target in LOSSLESS:
        if target == layout.transfer_syntax:
            continue
        try:
            transcode(path, layout, target, tmp_path / "b.dcm")
        except NotAvailable:
            assert target in ENCODERS or (layout.pixel_keyword and layout.pixel_length is None)
            continue
        done += 1
        both_native = layout.pixel_length is not None and target not in ENCODERS
        assert differences(old, tree_of(tmp_path / "b.dcm")[1], frozenset() if both_native else DESCRIPTION) == []
    return done


@pytest.mark.slow
@pytest.mark.parametrize("path", WHEEL, ids=lambda path: path.name)
def test_public_files(tmp_path: Path, path: Path) -> None:
    compare_all(path, tmp_path)


#: pydicom itself reads these otherwise: a length that is wrong, a stray delimiter, elements of a false form at the end.
_MISREAD = {"GH179A.dcm", "emri_small_jpeg_2k_lossless_too_short.dcm", "TC0357_stray_item_tag.dcm",
            "TC0279_stray_seq_delim.dcm", "TC0405_latin1_utf8_payload.dcm", "TC0445_duplicate_tags.dcm"}  # fmt: skip


@pytest.mark.slow
def test_the_developers_files(tmp_path: Path) -> None:
    if not DATA_SET.is_dir():
        pytest.skip("the developers' data set is not here")
    own = {"pydicom-wheel", "pydicom-charsets"}
    files = [path for path in sorted(DATA_SET.rglob("*.*")) if path.is_file() and path.name not in _MISREAD]
    # One of a series is enough.
    chosen = {path.parent.name + str(len(path.name)): path for path in files if path.parent.name not in own}
    assert sum(compare_all(path, tmp_path) for path in chosen.values()) > 200
