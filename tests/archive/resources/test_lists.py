"""Lists: filters, order, pages and links; what is wrong with a request is named."""

from typing import Any

import pytest
from pydicom.uid import generate_uid

from tests.support.archive_client import Archive

MANY = ("patients", "studies", "series", "instances")


def test_levels_show_their_attributes_counts_and_ancestors(archive: Archive) -> None:
    results = archive.make(3, StudyDescription="Thorax", SeriesDescription="Lung", ReferringPhysicianName="WHO^DR")
    instance = archive.get(f"/instances/{results[0]['id']}").json()
    series = archive.get(f"/series/{instance['series']}").json()
    study = archive.get(f"/studies/{instance['study']}").json()
    patient = archive.get(f"/patients/{instance['patient']}").json()

    assert {result["status"] for result in results} == {"stored"}
    assert instance["sop_instance_uid"] == instance["id"] == results[0]["id"]
    assert (instance["rows"], instance["columns"], instance["bits_allocated"]) == (4, 6, 16)
    assert instance["transfer_syntax_uid"] == "1.2.840.10008.1.2.1"
    assert len(instance["sha256"]) == 64
    assert instance["size"] == len(archive.get(f"/instances/{instance['id']}/file").content)
    assert (series["study"], series["patient"], series["images_count"]) == (study["id"], patient["id"], 3)
    assert (series["modality"], series["series_description"], series["series_number"]) == ("CT", "Lung", 1)
    assert (study["patient"], study["series_count"], study["images_count"]) == (patient["id"], 1, 3)
    assert (study["study_description"], study["modalities"]) == ("Thorax", ["CT"])
    assert (study["patient_name"], study["study_date"]) == ("DOE^JOHN", "20240115")
    assert (patient["studies_count"], patient["images_count"], patient["patient_sex"]) == (1, 3, "O")


def test_children_come_in_slice_order(archive: Archive) -> None:
    series, study = generate_uid(), generate_uid()
    heights = {
        archive.make(
            StudyInstanceUID=study,
            SeriesInstanceUID=series,
            InstanceNumber=number,
            PatientID="slices",
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[0, 0, z],
        )[0]["id"]: z
        for number, z in ((1, 30.5), (2, -10), (3, 5))
    }

    listed = archive.get(f"/series/{series}/instances").json()
    assert [heights[item["id"]] for item in listed] == [-10, 5, 30.5]
    second = archive.get(f"/series/{series}/instances", limit=1, offset=1)
    assert [heights[item["id"]] for item in second.json()] == [5]
    assert second.headers["X-Total-Count"] == "3"
    by_number = archive.get(f"/series/{series}/instances", sort="-instance_number").json()
    assert [item["instance_number"] for item in by_number] == [3, 2, 1]
    assert [item["id"] for item in archive.get(f"/studies/{study}/series").json()] == [series]


def test_pages_link_to_each_other_and_keep_the_query(archive: Archive) -> None:
    results = archive.make(7, PatientName="PAGED^Ü")
    url: str | None = (
        f"/api/instances?patient_name=paged^%C3%BC&study={results[0]['study']}&limit=3&sort=-instance_number"
    )
    numbers, lengths = [], []
    while url:
        answer = archive.client.get(url)
        assert answer.status_code == 200, answer.text
        assert answer.headers["X-Total-Count"] == "7"
        lengths.append(len(answer.json()))
        numbers += [item["instance_number"] for item in answer.json()]
        url = answer.links.get("next", {}).get("url")
    assert lengths == [3, 3, 1]
    assert numbers == [7, 6, 5, 4, 3, 2, 1]


def test_a_page_past_the_end_is_empty_without_a_link(archive: Archive) -> None:
    results = archive.make(2)
    answer = archive.get("/instances", study=results[0]["study"], offset=2)
    assert (answer.json(), answer.headers["X-Total-Count"]) == ([], "2")
    assert "Link" not in answer.headers
    assert archive.get("/instances", study=results[0]["study"], offset=2**31 - 1).json() == []


@pytest.mark.parametrize(
    ("path", "params", "found"),
    [
        ("studies", {"patient_name": "yam*"}, True),
        ("studies", {"patient_name": "山田^太郎"}, True),
        ("studies", {"patient_name": "*たろう"}, True),
        ("studies", {"patient_name": "YAMADA^TARO?"}, True),
        ("studies", {"patient_name": "YAMADA"}, False),
        ("studies", {"study_date": "20240101-20240131"}, True),
        ("studies", {"study_date": "-20240114"}, False),
        ("studies", {"study_date": "20240115-"}, True),
        ("studies", {"study_time": "10"}, True),
        ("studies", {"study_time": "1016-"}, False),
        ("studies", {"modalities": "MR,ct"}, True),
        ("studies", {"modalities": "MR"}, False),
        ("series", {"modality": "CT,MR"}, True),
        ("series", {"modality": "c*"}, True),
        ("series", {"series_number": "1-3"}, True),
        ("series", {"series_number": "2,3"}, False),
        ("series", {"study_description": "*100%_[x]*"}, True),
        ("series", {"study_description": "*100%__*"}, False),
        ("series", {"study_description": "a.c*"}, False),
        ("instances", {"image_type": "AXIAL"}, True),
        ("instances", {"rows": "4"}, True),
        ("instances", {"rows": "-5"}, False),
        ("instances", {"patient_birth_date": "19700101", "modality": "CT", "study_id": "1"}, True),
        ("patients", {"patient_sex": "o"}, True),
        ("patients", {"other_patient_ids": "second*"}, True),
        ("patients", {"patient_name": "*"}, True),
    ],
)
def test_filters(archive: Archive, filtered: dict[str, str], path: str, params: dict[str, Any], found: bool) -> None:
    only_mine: dict[str, Any] = {"patient_id": filtered["patient_id"]}
    answer = archive.get(f"/{path}", **only_mine, **params)
    assert len(answer.json()) == found
    assert answer.headers["X-Total-Count"] == str(int(found))


@pytest.fixture(scope="module")
def filtered(archive: Archive) -> dict[str, str]:
    """A study whose values are awkward to match."""
    result = archive.make(
        PatientID="filter-me",
        PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう",
        OtherPatientIDs=["first", "second one"],
        StudyDescription="abc 100%_[x]",
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
    )[0]
    return archive.get(f"/studies/{result['study']}").json()


@pytest.mark.parametrize("path", MANY)
@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"limit": ["1", "2"]}, "limit"),
        ({"offset": "-1"}, "offset"),
        ({"offset": str(2**63)}, "offset"),
        ({"offset": "٣"}, "offset"),
        ({"sort": "shoe_size"}, "sort"),
        ({"sort": "patient_name,-patient_name"}, "sort"),
        ({"shoe_size": "43"}, "shoe_size"),
        ({"patient_birth_date": "1970-01-01"}, "patient_birth_date"),
        ({"patient_birth_date": "20230231"}, "patient_birth_date"),
        ({"patient_name": ""}, "patient_name"),
        ({"patient_comments": "x"}, "patient_comments"),
    ],
)
def test_what_is_wrong_with_a_list_is_named(archive: Archive, path: str, params: dict, field: str) -> None:
    problem = archive.get(f"/{path}", status=422, **params)
    assert problem.headers["Content-Type"] == "application/problem+json"
    assert problem.json()["field"] == field
    assert problem.json()["status"] == 422


@pytest.mark.parametrize("path", ["/studies?series_number=1", "/patients?study_date=20240101"])
def test_a_filter_of_a_lower_level_is_refused(archive: Archive, path: str) -> None:
    assert archive.get(path, status=422).json()["field"] in path


@pytest.mark.parametrize(
    "path",
    [f"/{many}/{wrong}" for many in MANY for wrong in ("1.2.3.4.5.6.7.8.9", "%00", "..%2F..", "%F0%9F%92%80")]
    + ["/patients/x/studies", "/studies/1.2/series", "/series/1.2/instances", "/instances/1.2/tags"]
    + ["/instances/1.2/file", "/instances/1.2/file?original=true", "/studies/1.2/series?modality=CT"],
)
def test_an_unknown_id_is_404(archive: Archive, path: str) -> None:
    problem = archive.get(path, status=404).json()
    assert problem["status"] == 404
    assert "field" not in problem


def test_a_route_takes_only_its_methods(archive: Archive) -> None:
    answer = archive.client.post("/api/studies", json={})
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}
    assert archive.client.delete("/api/series").status_code == 405


def test_bytes_that_are_no_text_in_a_query_are_400(archive: Archive) -> None:
    assert archive.client.get("/api/studies?patient_name=%FF%FE").status_code == 400


def test_thousands_of_values_in_one_filter(archive: Archive) -> None:
    result = archive.make()[0]
    values = ",".join(map(str, range(8000)))
    answer = archive.get("/instances", study=result["study"], instance_number=values)
    assert [item["id"] for item in answer.json()] == [result["id"]]


@pytest.mark.parametrize("name", ["%00*", "a%00b", "*" * 200, "?*" * 50 + "x", "(" * 50, "[*", "\\*", "$where", "%25"])
def test_odd_patterns_match_or_do_not_but_never_fail(archive: Archive, name: str) -> None:
    assert archive.client.get(f"/api/studies?patient_name={name}").status_code in {200, 422}


def test_head_answers_as_get_without_the_body(archive: Archive) -> None:
    result = archive.make()[0]
    answer = archive.client.head("/api/studies", params={"study_instance_uid": result["study"]})
    assert (answer.status_code, answer.headers["X-Total-Count"], answer.content) == (200, "1", b"")
