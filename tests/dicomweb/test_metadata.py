"""WADO-RS metadata: from the catalog alone, the same values that the files have, edits applied."""

import gzip
import json
import warnings
from collections.abc import Iterator
from io import BytesIO
from typing import Any
from urllib.parse import urljoin
from xml.etree import ElementTree as ET

import httpx
import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.support.dicom.agreement import differences
from tests.support.dicomweb.web import StoredFile, Web, parts_of

JSON = "application/dicom+json"
XML = 'multipart/related; type="application/dicom+xml"'

#: How values may differ from what pydicom reads.
TOLERATED = (
    "00080005 CS",  # the text of the model is UTF-8, whatever the file's character set was
    "00083002 only in ours",  # how the file is stored
    "FFFCFFFC only in pydicom",  # trailing padding is no value
)


def elements(dataset: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for element in dataset.values():
        yield element
        if element["vr"] == "SQ":
            for item in element.get("Value", []):
                yield from elements(item)


def test_values_of_the_data_set_are_those_that_pydicom_reads(web: Web, stored_files: list[StoredFile]) -> None:
    wrong, known = {}, {each.path: each for each in stored_files}
    for path, stored in known.items():
        (dataset,) = web.get(path + "/metadata").json()
        with warnings.catch_warnings(action="ignore"):
            try:
                found = differences(dataset, stored.read())
            except Exception:
                continue
        found = [line for line in found if not any(each in line for each in TOLERATED) and "pydicom can't" not in line]
        if found:
            wrong[stored.file.name] = found[:3]
    assert len(known) > 200
    # Files whose values do not conform to their VR, where either reading is a guess.
    assert len(wrong) < 0.1 * len(known), wrong


def test_every_bulk_data_uri_of_the_data_set_resolves(web: Web, stored_files: list[StoredFile]) -> None:
    count = 0
    for stored in stored_files[::3]:
        url = f"{web.url}{stored.path}/metadata"
        (dataset,) = web.get(url).json()
        for element in elements(dataset):
            if "BulkDataURI" in element:
                web.get(urljoin(url, element["BulkDataURI"]), "*/*")
                count += 1
    assert count > 50


@pytest.fixture
def study(any_web: Web) -> dict[str, Any]:
    """Two series of a study, on each catalog."""
    uid, series = generate_uid(), [generate_uid(), generate_uid()]
    patient = {"StudyInstanceUID": uid, "PatientID": uid, "SpecificCharacterSet": "ISO_IR 100"}
    paths = [
        any_web.make(**patient, SeriesInstanceUID=series[number % 2], InstanceNumber=number, PatientName="Müller")
        for number in range(5)
    ]
    return {"uid": uid, "series": series, "paths": paths}


def test_levels_and_their_edges(any_web: Web, study: dict[str, Any]) -> None:
    base = f"/studies/{study['uid']}"
    for path, count in ((base, 5), (f"{base}/series/{study['series'][0]}", 3), (study["paths"][1], 1)):
        datasets = any_web.get(path + "/metadata").json()
        assert len(datasets) == count
        assert {one["0020000D"]["Value"][0] for one in datasets} == {study["uid"]}
        assert {one["00100010"]["Value"][0]["Alphabetic"] for one in datasets} == {"Müller"}
        assert {one["00080005"]["Value"][0] for one in datasets} == {"ISO_IR 192"}
    for path in ("/studies/1.2.3", f"{base}/series/1.2.3", f"/studies/1.2.3/series/{study['series'][0]}"):
        any_web.get(path + "/metadata", status=404)
    any_web.get(study["paths"][0].replace(study["series"][0], study["series"][1]) + "/metadata", status=404)


def test_edits_of_every_level_show_at_every_level(any_web: Web, study: dict[str, Any]) -> None:
    patient = any_web.client.get(f"/api/studies/{study['uid']}").json()["patient"]
    instance = study["paths"][1].rsplit("/", 1)[1]
    for path, change in (
        (f"/patients/{patient}", {"patient_name": "Ænima^Ångström"}),
        (f"/studies/{study['uid']}", {"study_description": "second reading"}),
        (f"/series/{study['series'][1]}", {"series_description": "arterial"}),
    ):
        assert any_web.client.put(f"/api{path}", json=change).status_code == 200
    for path in (f"/studies/{study['uid']}", f"/studies/{study['uid']}/series/{study['series'][1]}", study["paths"][1]):
        for dataset in any_web.get(path + "/metadata").json():
            assert dataset["00100010"]["Value"] == [{"Alphabetic": "Ænima^Ångström"}]
            assert dataset["00081030"]["Value"] == ["second reading"]
            assert ("0008103E" in dataset) == (dataset["0020000E"]["Value"] == [study["series"][1]])
            assert dataset["04000561"]["vr"] == "SQ"
    file = any_web.get(study["paths"][1], "application/dicom")
    assert pydicom.dcmread(BytesIO(file.content)).SeriesDescription == "arterial"
    assert instance in file.headers["Content-Disposition"]


def test_the_native_xml_model_has_the_same(web: Web) -> None:
    path = web.make(PatientName="Ω<&>=漢字", SpecificCharacterSet="ISO_IR 192")
    ((fields, content),) = parts_of(web.get(path + "/metadata", XML))
    assert fields["content-type"] == "application/dicom+xml"
    root = ET.fromstring(content)
    found = {each.attrib["tag"]: each for each in root}
    (dataset,) = web.get(path + "/metadata").json()
    assert found.keys() == dataset.keys()
    bulk = next(each for each in root.iter() if each.tag.endswith("BulkData"))
    assert bulk.attrib["uri"] == dataset["7FE00010"]["BulkDataURI"]


def test_json_is_compressed_only_for_those_who_take_it(web: Web) -> None:
    path = web.make(ImageComments="x" * 5000) + "/metadata"
    plain = web.get(path, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    with web.client.stream("GET", "/dicom-web" + path, headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
        assert answer.headers["Content-Encoding"] == "gzip"
        assert int(answer.headers["Content-Length"]) == len(raw) < len(plain.content) / 4
    assert gzip.decompress(raw) == plain.content
    assert {"Accept", "Accept-Encoding"} <= {each.strip() for each in plain.headers["Vary"].split(",")}


def test_a_validator_holds_until_something_changes(web: Web) -> None:
    path = web.make()
    etag = web.get(path + "/metadata").headers["ETag"]
    again = web.get(path + "/metadata", status=304, headers={"If-None-Match": f'"other", {etag}'})
    assert not again.content
    study = path.split("/")[2]
    assert web.client.put(f"/api/studies/{study}", json={"study_description": "new"}).status_code == 200
    assert web.get(path + "/metadata", headers={"If-None-Match": etag}).headers["ETag"] != etag


def test_a_study_larger_than_a_page_is_streamed_whole(web: Web) -> None:
    uid = generate_uid()
    # Headers of 3 MB each: twelve of them are more than a page.
    item = pydicom.Dataset()
    item.ImageComments = item.PatientComments = item.AdditionalPatientHistory = "y" * 10_000
    paths = [web.make(StudyInstanceUID=uid, RequestAttributesSequence=[item] * 100) for _ in range(12)]
    answer = web.get(f"/studies/{uid}/metadata")
    assert len(answer.content) > 32 * 1024 * 1024
    found = [one["00080018"]["Value"][0] for one in json.loads(answer.content)]
    assert sorted(found) == sorted(path.rsplit("/", 1)[1] for path in paths)


def test_uris_lead_back_the_way_that_the_client_came(web: Web) -> None:
    path = web.make()
    port = httpx.URL(web.url).port

    def base(host: str, **headers: str) -> str:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = httpx.get(f"{web.url}{path}/metadata", headers={"Host": host, **fields})
        assert answer.status_code == 200, answer.text
        uri: str = answer.json()[0]["7FE00010"]["BulkDataURI"]
        assert uri.partition("?")[0].endswith(f"/dicom-web{path}/bulk/7FE00010")
        return uri.partition("/dicom-web")[0]

    assert base("localhost:8042") == "http://localhost:8042"
    assert base("localhost:8042", X_Forwarded_Proto="https") == "https://localhost:8042"
    assert base("localhost", X_Forwarded_Proto="https") == "https://localhost"
    assert base("localhost", X_Forwarded_Proto="https, http", X_Forwarded_Host="pacs.example") == "https://pacs.example"
    assert base("localhost", X_Forwarded_Host="pacs.example:8443, inner") == "http://pacs.example:8443"
    assert base("localhost", X_Forwarded_Proto="javascript") == "http://localhost"
    assert base("localhost") == "http://localhost", "the default port is the client's"
    # dicomweb-client, which uses requests, leaves the port away.
    assert base("localhost", User_Agent="python-requests/2.32") == f"http://localhost:{port}"
    assert base("[::1]", User_Agent="python-requests/2.32") == f"http://[::1]:{port}"
    assert base("localhost", User_Agent="python-requests/2.32", X_Forwarded_For="192.0.2.1") == "http://localhost"
