"""Objects made of all kinds of sources, also incomplete and broken ones, pass dciodvfy."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from pydicom import Dataset
from pydicom.data import get_testdata_file

from neurdicom.dicom.part10 import read_header
from neurdicom.processing.dicom_output import tasks
from tests.support.derived_objects import as_file, ct_slice, errors_of

#: pydicom's, of values that are bad.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

#: Of pydicom: CT, MR, NM, US, colour, palettes, several frames, dose, big endian, deflated, private junk.
FILES = [
    "CT_small.dcm", "MR_small_bigendian.dcm", "JPEG2000.dcm", "693_J2KI.dcm", "J2K_pixelrep_mismatch.dcm",
    "examples_rgb_color.dcm", "examples_ybr_color.dcm", "examples_palette.dcm", "examples_overlay.dcm",
    "SC_rgb_rle_2frame.dcm", "SC_rgb_small_odd.dcm", "rtdose.dcm", "rtdose_1frame.dcm", "image_dfl.dcm",
    "liver_1frame.dcm",
]  # fmt: skip

INCOMPLETE: dict[str, dict[str, Any]] = {
    "no patient": {"PatientID": None, "PatientName": None},
    "no dates": {"StudyDate": None, "SeriesNumber": None, "InstanceNumber": None},
    "no frame of reference": {"FrameOfReferenceUID": None, "SliceThickness": None},
    "a head": {"BodyPartExamined": "HEAD", "Laterality": "L"},
    "a knee": {"BodyPartExamined": "KNEE", "Laterality": "R"},
    "bad values": {"PatientSex": "W", "PatientBirthDate": "01.02.1950", "AccessionNumber": "x" * 40},
    "bad items": {"ReferencedStudySequence": [Dataset()], "ProcedureCodeSequence": [Dataset()]},
    "lossy": {"LossyImageCompression": "01", "LossyImageCompressionRatio": 10, "ImageLaterality": "L"},
    "long names": {"Manufacturer": "M" * 100, "SeriesDescription": "S" * 200, "SeriesNumber": 2147483647},
    "text of two bytes": {"PatientName": "Ямада^Тарō", "StudyDescription": "МРТ", "SpecificCharacterSet": "ISO_IR 192"},
}  # fmt: skip


def derive(folder: Path, source: Path, kind: str, result: Any, **tool: Any) -> list[Path]:
    """Write objects of a result as the worker does; the plugin's name and author are long, and not of ASCII."""
    body = folder / "result"
    if kind == "image":
        with body.open("wb") as file:
            np.save(file, result)
    else:
        body.write_bytes(orjson.dumps(result))
    described = {
        "type": "plugin", "id": "test.plugin", "name": "Plugin mit Ümlaut " * 8, "version": "1.0-β", "author": "Ä" * 70,
        "digest": "ab" * 32, "input": "stored", "produces": {}, **tool,
    }  # fmt: skip
    meta, _ = tasks.derive({
        "result": str(body), "kind": kind, "media_type": "", "stack": False, "tool": described,
        "sources": [{"path": str(source), "frame": 1, "edits": []}], "params": {"α": [1.5, None], "b": "\\" * 2000},
        "identity": f"{kind}{tool}", "run": "run", "series": "1.2.1", "made": "2024-01-02T03:04:05+00:00",
        "output": str(folder / "made"),
    })  # fmt: skip
    return [Path(file["path"]) for file in meta["files"]]


def check(folder: Path, source: Path) -> None:
    layout = read_header(source).layout
    numbers = np.random.default_rng(1).normal(size=(layout.rows or 1, layout.columns or 1)) * 100
    labels = (numbers > 150).astype("u1")
    measured = {"volume": 1.5, "lesions": [{"area": 2, "kind": "bad"}, {"area": 3, "ok": True}]}
    results: list[tuple[str, Any, dict[str, Any]]] = [
        ("image", numbers, {}),
        ("image", numbers, {"input": "modality"}),
        ("image", numbers[::2, ::2], {"input": "modality"}),
        ("image", np.dstack([labels] * 3), {}),
        ("image", labels, {"produces": {"type": "SEGMENTATION"}}),
        ("json", measured, {"produces": {"type": "MEASUREMENTS"}}),
    ]  # fmt: skip
    for number, (kind, result, tool) in enumerate(results):
        place = folder / str(number)
        place.mkdir()
        for file in derive(place, source, kind, result, **tool):
            errors = [error for error in errors_of(file) if "Illegal root for UID" not in error]
            assert errors == [], f"{kind} {tool}"


@pytest.mark.parametrize("name", FILES)
def test_files(tmp_path: Path, name: str) -> None:
    check(tmp_path, Path(get_testdata_file(name)))


@pytest.mark.parametrize("case", INCOMPLETE)
def test_incomplete_sources(tmp_path: Path, case: str) -> None:
    source = tmp_path / "source.dcm"
    source.write_bytes(as_file(ct_slice(1, **INCOMPLETE[case])))
    check(tmp_path, source)
