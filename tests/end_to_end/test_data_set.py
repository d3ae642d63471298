"""The whole data set through the public door: what is kept, and that all of it comes back as it was."""

import hashlib
import io
import re
import zipfile
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import pydicom
import pytest

from neurdicom.dicom.bare import completion, is_part10
from neurdicom.dicom.query.attributes import Level
from tests.support.loaded import MANY, LoadedServer, read

UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")

#: Files that pydicom reads as far as it gets; a server that kept them would keep what is not whole.
BROKEN = {"rtplan_truncated.dcm", "MR_truncated.dcm"}


def is_storable(ds: pydicom.Dataset | None) -> bool:
    """A file that pydicom reads, with the three UIDs that make an id."""
    return ds is not None and all(re.fullmatch(r"\d+(\.\d+)*", str(ds.get(keyword) or "")) for keyword in UIDS)


def test_every_file_is_stored_or_refused_with_a_reason(loaded: LoadedServer) -> None:
    wrong = []
    for path, answer in loaded.answers.items():
        ds = read(path)
        if answer.status_code in {200, 201}:
            [result] = answer.json()["results"]
            uids = [result[name] for name in ("study_instance_uid", "series_instance_uid", "sop_instance_uid")]
            if ds is not None and uids != [str(ds.get(keyword)) for keyword in UIDS]:
                wrong.append((path, result))
        elif (
            answer.status_code not in {400, 415, 422}
            or not answer.json()["detail"]
            or (is_storable(ds) and path.name not in BROKEN)
        ):
            wrong.append((path, answer.text))
    assert not wrong
    assert len(loaded.final) > 250


def test_nothing_was_an_error_of_the_server(loaded: LoadedServer) -> None:
    assert "Traceback" not in loaded.server.log
    assert loaded.get("/health").json()


def test_the_lists_hold_what_was_stored(loaded: LoadedServer) -> None:
    lists = {level: loaded.walk(f"/{many}", limit=1000) for level, many in MANY.items()}
    instances = {instance["id"]: instance for instance in lists[Level.INSTANCE]}
    assert instances.keys() == loaded.final.keys()
    for level in (Level.PATIENT, Level.STUDY, Level.SERIES):
        assert {entity["id"] for entity in lists[level]} == {instance[level] for instance in instances.values()}
    for uid, path in loaded.final.items():
        content = path.read_bytes()
        if not is_part10(content):  # it is stored with a header of the server's
            assert instances[uid]["size"] > len(content)
            continue
        assert instances[uid]["sha256"] == hashlib.sha256(content).hexdigest()
        assert instances[uid]["size"] == len(content)


def test_counts_and_modalities_are_those_of_a_recount(loaded: LoadedServer) -> None:
    instances, series = loaded.walk("/instances", limit=1000), loaded.walk("/series", limit=1000)
    studies, patients = loaded.walk("/studies", limit=1000), loaded.walk("/patients", limit=1000)
    for level, entities in ((Level.SERIES, series), (Level.STUDY, studies), (Level.PATIENT, patients)):
        images = Counter(instance[level] for instance in instances)
        assert {entity["id"]: entity["images_count"] for entity in entities} == images
    assert {study["id"]: study["series_count"] for study in studies} == Counter(each["study"] for each in series)
    assert {one["id"]: one["studies_count"] for one in patients} == Counter(study["patient"] for study in studies)
    modalities = defaultdict(set)
    for each in series:
        modalities[each["study"]] |= {each["modality"]} - {None}
    assert {study["id"]: study["modalities"] for study in studies} == {
        study["id"]: sorted(modalities[study["id"]]) for study in studies
    }


@pytest.mark.parametrize("level", list(MANY))
@pytest.mark.parametrize("limit", [7, 40])
def test_small_pages_to_the_last_give_everything_once(loaded: LoadedServer, level: Level, limit: int) -> None:
    whole = [entity["id"] for entity in loaded.walk(f"/{MANY[level]}", limit=1000)]
    pages = [entity["id"] for entity in loaded.walk(f"/{MANY[level]}", limit=limit)]
    assert pages == whole == sorted(set(whole))


@pytest.mark.parametrize("level", [Level.PATIENT, Level.STUDY, Level.SERIES])
def test_children_are_those_that_name_the_parent(loaded: LoadedServer, level: Level) -> None:
    assert level.child is not None
    below = defaultdict(set)
    for entity in loaded.walk(f"/{MANY[level.child]}", limit=1000):
        below[entity[level]].add(entity["id"])
    for parent, expected in below.items():
        children = loaded.walk(f"/{MANY[level]}/{parent}/{MANY[level.child]}", limit=50)
        assert {child["id"] for child in children} == expected


def test_every_file_comes_back_byte_for_byte(loaded: LoadedServer) -> None:
    for uid, path in loaded.final.items():
        content = path.read_bytes()
        prefix, start = completion(content)  # of a dataset without File Meta Information
        content = prefix + content[start:]
        assert loaded.get(f"/instances/{uid}/file").content == content, path
        assert loaded.get(f"/instances/{uid}/file", original="true").content == content, path


def test_slices_of_real_series_lie_in_order(loaded: LoadedServer) -> None:
    checked = 0
    for series in loaded.walk("/series", limit=1000):
        slices = loaded.get(f"/series/{series['id']}/instances", limit=1000).json()
        places = [(tuple(one["image_orientation_patient"] or ()), one["image_position_patient"]) for one in slices]
        if len(slices) < 3 or len({orientation for orientation, _ in places}) != 1 or not places[0][0]:
            continue
        x, y = places[0][0][:3], places[0][0][3:]
        normal = (x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0])
        heights = [sum(n * p for n, p in zip(normal, position, strict=True)) for _, position in places]
        assert all(low <= high + 1e-3 for low, high in pairwise(heights)), series["id"]
        checked += 1
    assert checked


def test_tags_hold_every_element(loaded: LoadedServer) -> None:
    for uid, path in loaded.final.items():
        ds = read(path)
        tags = loaded.get(f"/instances/{uid}/tags").json()
        model = loaded.get(f"/instances/{uid}/tags", format="dicom+json").json()
        assert (tags["SOPInstanceUID"], model["0020000D"]["vr"]) == (uid, "UI"), path
        if ds is not None and not path.parts[-2].startswith("fuzz"):
            expected = {f"{element.tag:08X}" for element in ds if element.tag.element}
            assert expected <= model.keys() | {"7FE00010"}, path


@pytest.mark.parametrize("keyword", ["PatientName", "ReferringPhysicianName", "InstitutionName", "StudyDescription"])
def test_text_is_right_in_every_character_set(loaded: LoadedServer, keyword: str) -> None:
    checked = set()
    for uid, path in loaded.final.items():
        ds = read(path)
        if path.parent.name != "pydicom-charsets" or ds is None or keyword not in ds:
            continue
        tags = loaded.get(f"/instances/{uid}/tags").json()
        assert text_of(tags[keyword] or "") == str(ds[keyword].value), path
        checked.add(str(ds.get("SpecificCharacterSet")))
    assert keyword != "PatientName" or len(checked) >= 10


def text_of(value: Any) -> str:
    """A person name as DICOM writes it, from the three groups of its JSON form where it has that."""
    if isinstance(value, dict):
        groups = [value.get(group, "") for group in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(groups).rstrip("=")
    return str(value)


def test_names_are_found_in_any_script(loaded: LoadedServer) -> None:
    checked = 0
    for uid, path in loaded.final.items():
        ds = read(path)
        if path.parent.name != "pydicom-charsets" or ds is None or not ds.get("PatientName"):
            continue
        for group in filter(None, str(ds.PatientName).split("=")):
            found = loaded.get("/instances", patient_name=group[:-1] + "*", sop_instance_uid=uid).json()
            assert [one["id"] for one in found] == [uid], (path, group)
            checked += not group.isascii()
    assert checked >= 15


def test_the_same_again_as_one_zip_changes_nothing(loaded: LoadedServer) -> None:
    before = loaded.walk("/instances", limit=1000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, path in enumerate(loaded.files):
            archive.write(path, f"CD/{number:04}/{path.name}")
        archive.writestr("CD/README.TXT", "no image")
    answer = loaded.client.post(
        "/api/instances/upload", content=buffer.getvalue(), headers={"Content-Type": "application/zip"}
    )
    assert answer.status_code == 207, answer.text
    results = answer.json()["results"]
    assert len(results) == len(loaded.files) + 1
    sent = Counter(result["id"] for result in results if result["status"] != "rejected")
    for result, path in zip(results, loaded.files, strict=False):
        alone = loaded.answers[path]
        if alone.status_code not in {200, 201}:
            assert (result["status"], bool(result["reason"])) == ("rejected", True), result
        elif sent[result["id"]] == 1:
            assert result["status"] == "duplicate", result
    assert results[-1]["status"] == "rejected"
    after = loaded.walk("/instances", limit=1000)
    changed = [
        (one, other)
        for one, other in zip(before, after, strict=True)
        if {**one, "received": None} != {**other, "received": None}
    ]
    assert not changed
