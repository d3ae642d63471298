"""Files with edits applied, for tests."""

from pathlib import Path
from typing import Any

import orjson

from neurdicom.dicom.edits.apply import rewrite_header
from neurdicom.dicom.part10 import read_header
from tests.support.dicom.files import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, ElementWriter

SYNTAXES = [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED]
TIME = "2026-11-24T10:20:30.450Z"
MODIFIED, ORIGINALS = "04000550", "04000561"


def edits(time: str = TIME, user: str = "someone@example.org", **values: Any) -> list[dict[str, Any]]:
    return [{"field": field, "value": value, "user": user, "time": time} for field, value in values.items()]


def edited(path: Path, **values: Any) -> bytes:
    header, copy_from = rewrite_header(path, read_header(path).layout, edits(**values))
    return header + path.read_bytes()[copy_from:]


def history(w: ElementWriter, modified: bytes) -> bytes:
    return w.sequence(
        0x04000561,
        w.item(
            w.sequence(0x04000550, w.item(modified))
            + w.element(0x04000562, "DT", "20261124102030.450+0000")
            + w.element(0x04000563, "LO", "NEURDICOM")
            + w.element(0x04000564, "LO", "")
            + w.element(0x04000565, "CS", "CORRECT")
        ),
    )


def read_json(path: Path) -> dict[str, Any]:
    return dict(orjson.loads(read_header(path).json))
