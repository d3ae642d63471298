"""QIDO-RS over HTTP: what a search may ask, and what its answers hold."""

import gzip
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset

from tests.support.dicomweb.web import Web, parts_of
from tests.support.files import ROOT, dicom_file
from tests.support.server import Server


class Searched:
    """A server with a few studies of its own, found by their patients' IDs."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.mark = uuid.uuid4().hex[:8]
        self.root = f"{ROOT}.{uuid.uuid4().int >> 96}"
        for number, name, modality, date, time in (
            (1, "Doe^Jane", "CT", "20240101", "101500"),
            (2, "Roe & Söhne^Zoë+Lou", "MR", "20240102", "080000"),
            (3, "山田^太郎", "US", "20240103", "230000"),
        ):
            for series in (1, 2):
                web.store(
                    self.file(number, series, PatientName=name, Modality=modality, StudyDate=date, StudyTime=time)
                )
        web.store(self.file(1, 3, PatientName="Doe^Jane", Modality="SR"))

    def file(self, study: int, series: int, **elements: Any) -> bytes:
        """An image of a study of the mark's."""
        request = Dataset()
        request.ScheduledProcedureStepID, request.RequestedProcedureID = f"S{study}", f"R{study}"
        return dicom_file(
            SpecificCharacterSet="ISO_IR 192",
            PatientID=f"{self.mark}/{study}",
            StudyInstanceUID=f"{self.root}.{study}",
            SeriesInstanceUID=f"{self.root}.{study}.{series}",
            SOPInstanceUID=f"{self.root}.{study}.{series}.1",
            RequestAttributesSequence=[request],
            **{"SeriesNumber": series, **elements},
        )

    def find(self, query: str, path: str = "/studies", **more: Any) -> list[dict[str, Any]]:
        """The matches of a query, which is added to the mark's."""
        answer = self.web.get(f"{path}?PatientID={self.mark}*&{query}", **more)
        assert answer.headers["Content-Type"] == "application/dicom+json"
        found: list[dict[str, Any]] = answer.json()
        return found

    def numbers(self, query: str) -> list[int]:
        """The numbers of the studies found, sorted."""
        return sorted(int(match["0020000D"]["Value"][0].rpartition(".")[2]) for match in self.find(query))


@pytest.fixture(scope="module")
def searched(any_server: Server) -> Iterator[Searched]:
    """Its studies on each catalog."""
    searched = Searched(Web(any_server))
    yield searched
    for study in (1, 2, 3):
        searched.web.client.delete(f"/api/studies/{searched.root}.{study}")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [1, 2, 3]),
        ("PatientName=DOE*", [1]),
        ("00100010=doe%5Ejane", [1]),
        ("PatientName=Roe%20%26%20S%C3%B6hne*", [2]),
        ("PatientName=Roe+%26+*%2BLou", [2]),
        ("PatientName=%E5%B1%B1*", [3]),
        ("PatientName=", [1, 2, 3]),
        ("PatientName=*", [1, 2, 3]),
        ("PatientName=?oe*", [1, 2]),
        ("PatientName=jane&fuzzymatching=true", [1]),
        ("PatientName=jane&fuzzymatching=false", []),
        ("PatientName=zoe%20ro&fuzzymatching=true", [2]),
        ("StudyDate=20240102", [2]),
        ("StudyDate=20240102-20240103", [2, 3]),
        ("StudyDate=-20240101&0020000d=", [1]),
        ("StudyDate=20240101-20240102&StudyTime=1100-0900", [2]),
        ("ModalitiesInStudy=CT", [1]),
        ("ModalitiesInStudy=SR", [1]),
        ("ModalitiesInStudy=MR,US", [2, 3]),
        ("ModalitiesInStudy=MR%5CUS", [2, 3]),
        ("ModalitiesInStudy=MR&ModalitiesInStudy=US", [2, 3]),
        ("00080061=MR", [2]),
        ("RequestAttributesSequence.ScheduledProcedureStepID=S2", [2]),
        ("00400275.00400009=s2", [2]),
        ("00400275.00400009=S2&00400275.00401001=R1", []),
        ("BitsAllocated=8&SamplesPerPixel=1", [1, 2, 3]),
        ("HighBit=15", []),
        ("NumberOfStudyRelatedSeries=3", [1]),
        ("limit=2", [2, 3]),
        ("limit=2&offset=1", [1, 2]),
        ("limit=&offset=", [1, 2, 3]),
        ("Limit=0", []),
        ("includeField=all", [1, 2, 3]),
        ("PatientName=doe%5Ejane%5E%5E", [1]),
        ("Modality=SR&SeriesNumber=1", [1]),
        ("StudyDate=2024.01.01", [1]),
        ("limit=0", []),
        ("offset=7", []),
        ("limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060", [1, 2, 3]),
    ],
)
def test_studies(searched: Searched, query: str, found: list[int]) -> None:
    assert searched.numbers(query) == found


def test_lists_of_uids(searched: Searched) -> None:
    uids = [f"{searched.root}.{number}" for number in (1, 3)]
    for separator in (",", "%2C", "%5C", "&StudyInstanceUID="):
        assert searched.numbers(f"StudyInstanceUID={separator.join(uids)}") == [1, 3], separator
    assert searched.numbers(f"SOPInstanceUID={uids[1]}.2.1") == [3]


def test_the_answers_of_each_level(searched: Searched) -> None:
    base, study = searched.web.url, f"{searched.root}.1"
    match = searched.find(f"StudyInstanceUID={study}")[0]
    assert match["00080005"]["Value"] == ["ISO_IR 192"]
    assert match["00081190"] == {"vr": "UR", "Value": [f"{base}/studies/{study}"]}
    assert match["00080061"]["Value"] == ["CT", "SR"]
    assert (match["00201206"]["Value"], match["00201208"]["Value"]) == ([3], [3])
    assert list(match) == sorted(match)
    assert "0020000E" not in match
    (series,) = searched.find("Modality=SR", f"/studies/{study}/series")
    assert series["00081190"]["Value"] == [f"{base}/studies/{study}/series/{study}.3"]
    assert "00080020" not in series
    assert series["00400275"]["Value"] == [
        {"00400009": {"vr": "SH", "Value": ["S1"]}, "00401001": {"vr": "SH", "Value": ["R1"]}}
    ]
    (series,) = searched.find("Modality=SR", "/series")
    assert series["00080020"]["Value"] == ["20240101"]
    (instance,) = searched.find("", f"/studies/{study}/series/{study}.3/instances")
    assert instance["00081190"]["Value"] == [f"{base}/studies/{study}/series/{study}.3/instances/{study}.3.1"]
    assert instance["00280010"] == {"vr": "US", "Value": [4]}
    assert "00080060" not in instance
    (instance,) = searched.find("Modality=SR", f"/studies/{study}/instances")
    assert instance["00080060"]["Value"] == ["SR"]
    assert "00100010" not in instance
    (instance,) = searched.find("Modality=SR", "/instances")
    assert instance["00100010"]["Value"] == [{"Alphabetic": "Doe^Jane"}]


def test_a_study_without_a_modality(web: Web) -> None:
    study = web.make(Modality=None).split("/")[2]
    (match,) = web.get(f"/studies?StudyInstanceUID={study}&includefield=Modality,ModalitiesInStudy").json()
    assert match["00080061"] == {"vr": "CS", "Value": []}
    (match,) = web.get(f"/studies/{study}/series").json()
    assert match["00080060"] == {"vr": "CS"}


def test_what_is_included(searched: Searched) -> None:
    study = f"{searched.root}.2"
    wanted = "includefield=PatientWeight,00280100&includefield=ProcedureCodeSequence&StudyInstanceUID=" + study
    (match,) = searched.find(wanted)
    assert match["00101030"] == {"vr": "DS"}
    assert match["00280100"]["Value"] == [8]
    whole = searched.find("includefield=all", f"/studies/{study}/instances")[0]
    assert whole["00280102"]["Value"] == [7]
    assert whole["00100010"]["Value"] == [{"Alphabetic": "Roe & Söhne^Zoë+Lou"}]
    assert "7FE00010" not in whole
    nested = "includefield=RequestAttributesSequence.RequestedProcedureID&StudyInstanceUID=" + study
    (match,) = searched.find(nested)
    assert match["00400275"]["Value"][0]["00401001"]["Value"] == ["R2"]


def test_nothing_below_what_is_unknown(searched: Searched) -> None:
    for path in ("/studies/1.2.3/series", "/studies/*/series", f"/studies/{searched.root}.1/series/9.9/instances"):
        assert searched.web.get(path).json() == []
    other = f"StudyInstanceUID={searched.root}.2"
    assert searched.web.get(f"/studies/{searched.root}.1/series?{other}").json() == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("emptyvaluematching=perhaps", "emptyvaluematching"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("offset=1.5", "offset"),
        ("fuzzymatching=perhaps", "fuzzymatching"),
    ],
)
def test_what_can_not_be_asked(searched: Searched, query: str, field: str | None) -> None:
    answer = searched.web.get(f"/studies?{query}", status=400)
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == 400
    assert field is None or problem["field"] == field


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("NoSuchKeyword=1", "NoSuchKeyword"),
        ("patientname=DOE", "patientname"),
        ("0010001=DOE", "0010001"),
        ("PatientName.PatientID=1", "PatientName.PatientID"),
        ("=x", ""),
        ("PatientName.=x", "PatientName."),
        ("includefield=Nothing", "Nothing"),
        ("orderby=-StudyDate", "orderby"),
        ("pageToken=x", "pageToken"),
        ("%22%0D%0A%C3%B8=1", "????"),
        ("StudyDate=yesterday", "StudyDate"),
        ("StudyDate=-", "StudyDate"),
        ("HighBit=x", "HighBit"),
        (".".join(["RequestAttributesSequence"] * 20) + "=1", "RequestAttributesSequence."),
    ],
)
def test_what_is_ignored_with_a_warning(searched: Searched, query: str, name: str) -> None:
    """Unknown parameters, and values that mean nothing (PS3.18 8.3.4)."""
    answer = searched.web.get(f"/studies?{query}&StudyInstanceUID={searched.root}.1")
    assert len(answer.json()) == 1
    assert answer.headers["Warning"].startswith(f'299 neurdicom "{name}')


@pytest.mark.parametrize("stored", ["Caret^Mary^^^", "Caret ^ Mary", " caret^MARY^ ^=石^マリ"])
def test_lists_of_the_api_find_the_same_names(web: Web, stored: str) -> None:
    study = web.make(PatientName=stored, SpecificCharacterSet="ISO_IR 192", StudyTime="1200").split("/")[2]
    for name in ("Caret^Mary", "caret^mary^^", "CARET^*", "Caret^Mary^*", "*^mary"):
        given = {"StudyInstanceUID": study, "PatientName": name}
        assert len(web.get("/studies", params=given).json()) == 1, name
        for level in ("patients", "studies", "series", "instances"):
            narrow = {} if level == "patients" else {"study_instance_uid": study}
            found = web.client.get(f"/api/{level}", params={"patient_name": name, **narrow}).json()
            assert found, (level, name)
    for time, count in (("120000-120100", 1), ("1200", 1), ("120000", 1), ("12:00", 1), ("120001-", 0), ("-1159", 0)):
        assert len(web.get("/studies", params={"StudyInstanceUID": study, "StudyTime": time}).json()) == count, time
        if ":" not in time:
            listed = web.client.get("/api/studies", params={"study_instance_uid": study, "study_time": time}).json()
            assert len(listed) == count, time
    web.client.delete(f"/api/studies/{study}")


def test_hundreds_of_unknown_parameters(searched: Searched) -> None:
    query = "&".join(f"unknown{number}=1" for number in range(300))
    answer = searched.web.get(f"/studies?{query}&limit=1")
    assert len(answer.headers.get_list("Warning")) == 20


def test_the_newest_studies_come_first(searched: Searched) -> None:
    found = [match["0020000D"]["Value"][0] for match in searched.find("")]
    dates = [(match["00080020"].get("Value", [""])[0]) for match in searched.find("")]
    assert dates == sorted(dates, reverse=True)
    pages = [searched.find(f"limit=1&offset={number}")[0]["0020000D"]["Value"][0] for number in range(len(found))]
    assert pages == found


def test_bytes_that_are_no_text(searched: Searched) -> None:
    searched.web.get("/studies?PatientName=%FF%FE", status=400)


def test_a_warning_for_keys_that_are_ignored(searched: Searched) -> None:
    answer = searched.web.get("/studies?RetrieveAETitle=X&limit=1")
    assert answer.headers["Warning"].startswith("299 ")
    assert "RetrieveAETitle" in answer.headers["Warning"]
    assert "Warning" not in searched.web.get("/studies?limit=1").headers
    unsupported = searched.web.get("/studies?limit=1&emptyvaluematching=true&multiplevaluematching=true")
    assert "emptyvaluematching" in unsupported.headers["Warning"]
    assert "multiplevaluematching" not in unsupported.headers["Warning"]
    assert "Warning" not in searched.web.get("/studies?limit=1&emptyvaluematching=false").headers


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "application/dicom+json"),
        ("*/*", "application/dicom+json"),
        ("application/json", "application/json"),
        ("application/dicom+json, */*;q=0.1", "application/dicom+json"),
        ("application/json;q=0.5, application/dicom+json", "application/dicom+json"),
        ("application/dicom+json; charset=utf-8", "application/dicom+json"),
    ],
)
def test_representations(searched: Searched, accept: str | None, media_type: str) -> None:
    answer = searched.web.get(f"/studies?PatientID={searched.mark}*", accept)
    assert answer.headers["Content-Type"] == media_type
    assert len(answer.json()) == 3


def test_what_is_not_acceptable(searched: Searched) -> None:
    searched.web.get("/studies", "image/png", status=406)
    searched.web.get("/studies", "application/dicom+xml", status=406)  # only as parts of a multipart


def test_xml(searched: Searched) -> None:
    wanted = 'multipart/related; type="application/dicom+xml"'
    parts = parts_of(searched.web.get(f"/studies?PatientID={searched.mark}*", wanted))
    assert len(parts) == 3
    for fields, content in parts:
        assert fields["content-type"].startswith("application/dicom+xml")
        assert f"{searched.mark}/" in content.decode()
    empty = searched.web.get("/studies?PatientID=nobody", wanted)
    assert empty.headers["Content-Type"].startswith(wanted)
    assert b"NativeDicomModel" not in empty.content


def test_head_and_gzip(searched: Searched) -> None:
    url = f"/dicom-web/studies?PatientID={searched.mark}*"
    plain = searched.web.client.get(url, headers={"Accept-Encoding": "identity"})
    head = searched.web.client.head(url, headers={"Accept-Encoding": "identity"})
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(plain.content))
    with searched.web.client.stream("GET", url, headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(raw)) == plain.json()


def test_dicomweb_client(searched: Searched) -> None:
    client = DICOMwebClient(searched.web.url)
    mine = {"PatientID": f"{searched.mark}*"}
    studies = [Dataset.from_json(match) for match in client.search_for_studies(search_filters=mine)]
    assert [str(ds.PatientName) for ds in studies] == ["山田^太郎", "Roe & Söhne^Zoë+Lou", "Doe^Jane"]
    assert studies[2].ModalitiesInStudy == ["CT", "SR"]
    found = client.search_for_studies(search_filters={**mine, "PatientName": "söhne"}, fuzzymatching=True)
    assert [match["0020000D"]["Value"] for match in found] == [[f"{searched.root}.2"]]
    paged = client.search_for_instances(search_filters=mine, limit=2, get_remaining=True)
    assert len(paged) == 7
    series = client.search_for_series(f"{searched.root}.1", search_filters={"Modality": "CT"}, fields=["BitsStored"])
    assert [Dataset.from_json(match).BitsStored for match in series] == [8, 8]


def test_edits_and_deletions_show(searched: Searched) -> None:
    web = searched.web
    path = web.store(searched.file(9, 1, PatientName="Temp^One"))
    web.store(searched.file(9, 2, PatientName="Temp^One"))
    study = f"{searched.root}.9"
    (match,) = searched.find(f"StudyInstanceUID={study}")
    patient = web.client.get(f"/api/studies/{study}").json()["patient"]
    assert web.client.put(f"/api/patients/{patient}", json={"patient_name": "新^名"}).status_code == 200
    assert web.client.put(f"/api/series/{study}.2", json={"modality": "PT"}).status_code == 200
    (match,) = searched.find("PatientName=%E6%96%B0*&ModalitiesInStudy=PT")
    assert match["00100010"]["Value"] == [{"Alphabetic": "新^名"}]
    assert searched.find("PatientName=Temp*") == []
    whole = searched.find("includefield=all", f"/studies/{study}/series/{study}.2/instances")[0]
    assert whole["00080060"]["Value"] == ["PT"]
    assert whole["04000561"]["vr"] == "SQ"
    assert web.client.delete(f"/api/series/{study}.2").status_code == 204
    (match,) = searched.find(f"StudyInstanceUID={study}")
    assert (match["00201206"]["Value"], match["00201208"]["Value"], match["00080061"]["Value"]) == ([1], [1], ["OT"])
    assert web.client.delete(f"/api/instances/{path.rpartition('/')[2]}").status_code == 204
    assert searched.find(f"StudyInstanceUID={study}") == []
