"""Searches agree with what pydicom reads in the same files: matches, counts, values, in every character set."""

import random
import uuid
import warnings
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from tests.support.dicomweb.web import Web
from tests.support.server import Server

#: Many of the files break the standard, of which pydicom warns.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

FOLDER = Path(pydicom.__file__).parent / "data"
UIDS = {"studies": "StudyInstanceUID", "series": "SeriesInstanceUID", "instances": "SOPInstanceUID"}


class Read:
    """The files' contents, by pydicom alone: each entity shows its earliest file."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.datasets: dict[str, Dataset] = {}
        for path in sorted([*FOLDER.glob("test_files/*.dcm"), *FOLDER.glob("charset_files/*.dcm")]):
            answer = web.client.post(
                "/api/instances", content=path.read_bytes(), headers={"Content-Type": "application/dicom"}
            )
            if answer.status_code not in (200, 201):
                continue
            with warnings.catch_warnings(action="ignore"):
                ds = pydicom.dcmread(path, stop_before_pixels=True, force=True)
                ds.decode()
            uid = answer.json()["results"][0]["id"]
            # The last file of a UID counts, and counts as the latest.
            if answer.json()["results"][0]["status"] == "replaced":
                del self.datasets[uid]
            self.datasets.setdefault(uid, ds)

    def entities(self, kind: str) -> dict[str, list[Dataset]]:
        """UID to the datasets in it, the earliest first."""
        found: dict[str, list[Dataset]] = {}
        for ds in self.datasets.values():
            found.setdefault(str(ds[UIDS[kind]].value), []).append(ds)
        return found

    def find(self, path: str, **query: str) -> list[dict[str, Any]]:
        """The matches of a search."""
        matches: list[dict[str, Any]] = self.web.get(path, params=query).json()
        return matches


@pytest.fixture(scope="module", params=["sqlite", "mongodb"])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Read]:
    """A server of its own on each catalog, with pydicom's files in it."""
    options = []
    if request.param == "mongodb":
        uri = request.getfixturevalue("mongodb_uri")
        options = ["--mongodb-uri", f"{uri.rstrip('/')}/search_{uuid.uuid4().hex[:12]}"]
    with Server(tmp_path_factory.mktemp("agreement"), *options) as server:
        yield Read(Web(server))


def text_of(ds: Dataset, keyword: str) -> str:
    value = ds.get(keyword)
    text = "" if value is None or isinstance(value, MultiValue) else str(value).strip()
    # Dates of the old form are told in the new one; empty component groups do not matter.
    return text.replace(".", "") if keyword.endswith("Date") else text.rstrip("=")


def uid_of(match: dict[str, Any], kind: str) -> str:
    return str(Dataset.from_json(match)[UIDS[kind]].value)


@pytest.mark.parametrize("kind", list(UIDS))
def test_everything_is_listed_with_its_values(files: Read, kind: str) -> None:
    known = files.entities(kind)
    matches = files.find(f"/{kind}")
    uids = [uid_of(match, kind) for match in matches]
    assert sorted(uids) == sorted(known)
    if kind == "studies":
        keys = [tuple(match[tag].get("Value", [""])[0] for tag in ("00080020", "00080030")) for match in matches]
        assert keys == sorted(keys, reverse=True)
    else:
        assert uids == sorted(uids)
    for match in matches:
        first = known[uid_of(match, kind)][0]
        found = Dataset.from_json(match)
        for keyword in ("StudyDate", "StudyID", "AccessionNumber", "StudyDescription", "ReferringPhysicianName"):
            if keyword in found and kind == "studies" and not isinstance(first.get(keyword), MultiValue):
                assert text_of(found, keyword) == text_of(first, keyword), keyword
        for keyword in ("Modality", "SeriesDescription", "SeriesNumber") if kind == "series" else ():
            assert text_of(found, keyword) == text_of(first, keyword), keyword
        for keyword in ("Rows", "Columns", "SOPClassUID", "InstanceNumber") if kind == "instances" else ():
            assert text_of(found, keyword) == text_of(first, keyword), keyword


def test_counts_and_modalities(files: Read) -> None:
    studies, series = files.entities("studies"), files.entities("series")
    for match in files.find("/studies", includefield="SOPClassesInStudy"):
        found = Dataset.from_json(match)
        inside = studies[found.StudyInstanceUID]
        assert found.NumberOfStudyRelatedInstances == len(inside)
        uids = {ds.SeriesInstanceUID for ds in inside}
        assert found.NumberOfStudyRelatedSeries == len(uids)
        modalities = {text_of(series[uid][0], "Modality") for uid in uids} - {""}
        listed = found.get("ModalitiesInStudy") or []
        assert sorted([listed] if isinstance(listed, str) else listed) == sorted(modalities)
        classes = found.SOPClassesInStudy
        assert {*([classes] if isinstance(classes, str) else classes)} == {ds.SOPClassUID for ds in inside}
    for match in files.find("/series"):
        found = Dataset.from_json(match)
        assert found.NumberOfSeriesRelatedInstances == len(series[found.SeriesInstanceUID])


def test_names_in_every_character_set(files: Read) -> None:
    known = files.entities("studies")
    names = {str(Dataset.from_json(match).PatientName) for match in files.find("/studies")}
    assert sum(not name.isascii() for name in names) > 8
    for name in sorted(names):
        for group in filter(None, name.split("=")):
            pattern = f"{group[:2]}*".upper()
            matches = files.find("/studies", PatientName=pattern)
            shown = [str(Dataset.from_json(match).PatientName) for match in matches]
            assert name in shown, pattern
            for other in shown:
                assert any(each.upper().startswith(pattern[:-1]) for each in other.split("=")), (pattern, other)
    assert len(known) > 30


@pytest.mark.parametrize(
    ("keyword", "kind"),
    [
        ("StudyDate", "studies"),
        ("StudyDescription", "studies"),
        ("Modality", "series"),
        ("InstitutionalDepartmentName", "instances"),
        ("ConvolutionKernel", "instances"),
        ("SeriesDescription", "series"),
        ("SliceThickness", "instances"),
        ("PatientAge", "studies"),
        ("SoftwareVersions", "instances"),
        ("BitsStored", "instances"),
        ("AcquisitionDate", "instances"),
    ],
)
def test_values_match_the_same_entities(files: Read, keyword: str, kind: str) -> None:
    """Indexed attributes and others alike."""
    first = {uid: datasets[0] for uid, datasets in files.entities(kind).items()}
    values = sorted({text_of(ds, keyword) for ds in first.values()} - {""})
    assert values, "no file has it"
    for value in random.Random(1).sample(values, min(len(values), 6)):
        if "*" in value or "?" in value:
            continue
        found = {uid_of(match, kind) for match in files.find(f"/{kind}", **{keyword: value})}
        assert found == {uid for uid, ds in first.items() if same(ds.get(keyword), value)}, value


def same(value: Any, wanted: str) -> bool:
    values = value if isinstance(value, MultiValue | list) else [] if value is None else [value]
    if values and isinstance(values[0], int | float):
        return float(wanted) in values
    return any(fnmatchcase(str(each).strip().upper(), wanted.upper().replace("[", "[[]")) for each in values)


def test_private_elements(files: Read) -> None:
    elements = [
        (uid, element)
        for uid, ds in files.datasets.items()
        for element in ds
        if element.tag.is_private and not element.tag.is_private_creator and element.VR in ("LO", "SH", "DS", "IS")
        if element.VM == 1 and str(element.value).strip() and not {*"*?\\"} & {*str(element.value)}
    ]
    assert elements
    for uid, element in random.Random(2).sample(elements, 5):
        key = f"{element.tag:08X}"
        matches = files.find("/instances", **{key: str(element.value).strip(), "limit": "1000"})
        found = {uid_of(match, "instances"): match for match in matches}
        assert uid in found, key
        assert found[uid][key]["Value"]


def test_every_match_can_be_read_whole(files: Read) -> None:
    for match in files.find("/instances", includefield="all"):
        found = Dataset.from_json(match)
        ds = files.datasets[found.SOPInstanceUID]
        for keyword in ("BitsAllocated", "PhotometricInterpretation", "Manufacturer", "PatientSex"):
            assert text_of(found, keyword) == text_of(ds, keyword), keyword
