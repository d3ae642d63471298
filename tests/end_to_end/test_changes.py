"""Edits and deletions of real files in every transfer syntax, across a restart."""

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pydicom
import pytest
from pydicom.dataset import Dataset

from tests.support.api import empty_trash
from tests.support.loaded import read
from tests.support.server import Server

CHOSEN = (
    "pydicom-wheel/CT_small.dcm",
    "pydicom-wheel/MR_small_bigendian.dcm",
    "pydicom-wheel/MR_small_implicit.dcm",
    "pydicom-wheel/MR_small_RLE.dcm",
    "pydicom-wheel/image_dfl.dcm",
    "pydicom-wheel/J2K_pixelrep_mismatch.dcm",
    "pydicom-wheel/examples_ybr_color.dcm",
    "pydicom-wheel/liver_1frame.dcm",
    "pydicom-wheel/no_meta_group_length.dcm",
    "pydicom-wheel/nested_priv_SQ.dcm",
    "pydicom-wheel/rtplan.dcm",
    "pydicom-wheel/test-SR.dcm",
    "pydicom-wheel/waveform_ecg.dcm",
    "pydicom-charsets/chrH31.dcm",
    "pydicom-charsets/chrKoreanMulti.dcm",
    "pydicom-charsets/chrRuss.dcm",
    "encapsulated-pdf/SliceTimeProtocol.dcm",
)
NAME = "Ångström^Ünal=王^小東=おう^しょうとう"


class Scratch:
    """A server of these tests' own, and the chosen files in it by SOP Instance UID."""

    def __init__(self, server: Server, files: dict[str, Path]) -> None:
        self.server = server
        self.files = files

    def get(self, path: str, **params: str) -> httpx.Response:
        answer = self.server.client.get(f"/api{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer

    def check_edited(self, uid: str) -> None:
        """Compare the file that the server gives with the stored one: the name is edited, and nothing else changed."""
        stored = self.files[uid].read_bytes()
        assert self.get(f"/instances/{uid}/file", original="true").content == stored
        content = self.get(f"/instances/{uid}/file").content
        before, after = (pydicom.dcmread(io.BytesIO(each)) for each in (stored, content))
        assert str(after.PatientName) == NAME, self.files[uid]
        assert after.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID
        assert differing(before, after) <= {"PatientName", "SpecificCharacterSet", "OriginalAttributesSequence"}, (
            self.files[uid]
        )


def differing(before: Dataset, after: Dataset) -> set[str]:
    """Keywords of elements that two datasets do not share, sequences compared item by item; text decoded."""
    before.decode()
    after.decode()
    tags = {element.tag for each in (before, after) for element in each if element.tag.element}
    changed = set()
    for tag in tags:
        one, other = before.get(tag), after.get(tag)
        if one is None or other is None:
            changed.add(pydicom.datadict.keyword_for_tag(tag) or str(tag))
        elif one.VR == "SQ":
            assert len(one.value) == len(other.value)
            for first, second in zip(one.value, other.value, strict=True):
                changed |= differing(first, second)
        elif one.value != other.value:
            changed.add(one.keyword or str(tag))
    return changed


@pytest.fixture(scope="module")
def scratch(options: list[str], data_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scratch]:
    with Server(tmp_path_factory.mktemp("scratch"), *options) as server:
        files = {}
        for name in CHOSEN:
            answer = server.client.post("/api/instances", files=[("file", (name, (data_set / name).read_bytes()))])
            if answer.status_code == 201:
                files[answer.json()["results"][0]["id"]] = data_set / name
            else:
                found = read(data_set / name)
                assert found is None or not found.get("SeriesInstanceUID"), name
        assert len(files) >= 12
        yield Scratch(server, files)


def test_edits_reach_files_in_every_transfer_syntax(scratch: Scratch) -> None:
    patients = {scratch.get(f"/instances/{uid}").json()["patient"] for uid in scratch.files}
    for patient in patients:
        answer = scratch.server.client.put(f"/api/patients/{patient}", json={"patient_name": NAME})
        assert answer.status_code == 200, answer.text
    for uid in scratch.files:
        scratch.check_edited(uid)
        tags = scratch.get(f"/instances/{uid}/tags").json()
        assert "王^小東" in str(tags["PatientName"])
    found = scratch.get("/instances", patient_name="*王^小?").json()
    assert {instance["id"] for instance in found} == scratch.files.keys()


def test_a_restart_keeps_everything(scratch: Scratch) -> None:
    before = scratch.get("/instances").json()
    assert scratch.server.stop() == 0
    scratch.server.start()
    assert scratch.get("/instances").json() == before
    for uid in scratch.files:
        scratch.check_edited(uid)


def test_deletion_leaves_no_file(scratch: Scratch) -> None:
    for patient in scratch.get("/patients").json():
        answer = scratch.server.client.delete(f"/api/patients/{patient['id']}")
        assert (answer.status_code, answer.content) == (204, b"")
    for many in ("patients", "studies", "series", "instances"):
        assert scratch.get(f"/{many}").headers["X-Total-Count"] == "0"
    blobs = scratch.server.data / "blobs"
    assert blobs.is_dir()
    assert [path for path in (blobs / "objects").rglob("*") if path.is_file()] == []
    empty_trash(scratch.server.client)
    assert [path for path in blobs.rglob("*") if path.is_file()] == []
