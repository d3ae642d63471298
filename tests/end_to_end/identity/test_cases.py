"""Whose image it is, as it was seen to go wrong: one UID of two persons, and one Patient ID of several."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from pydicom.uid import generate_uid

from tests.support.colliding import CollidingInstance, instance
from tests.support.dicomweb.stow import items, part, related, store
from tests.support.dicomweb.web import BASE
from tests.support.server import Server


def stow(server: Server, one: CollidingInstance) -> str:
    """Store a file over DICOMweb, and answer the path of its Retrieve URL."""
    answer = store(server, related(part(one.file)), Accept="application/dicom+json")
    assert answer.status_code == 200, answer.text
    (item,) = items(answer, "00081199")
    return urlsplit(item["00081190"]).path


def studies(server: Server, **keys: str) -> list[dict[str, Any]]:
    answer = server.client.get(f"{BASE}/studies", params=keys)
    return answer.json() if answer.status_code == 200 else []


def of_study(server: Server, one: CollidingInstance) -> list[tuple[str, str, int]]:
    """Patient ID, name and number of instances of each study with the UID."""
    found = studies(server, StudyInstanceUID=one.uid("study"))
    return [
        (each["00100020"]["Value"][0], each["00100010"]["Value"][0]["Alphabetic"], each["00201208"]["Value"][0])
        for each in found
    ]


@pytest.fixture
def people() -> tuple[dict[str, str], dict[str, str]]:
    """Elements of two persons."""
    first, second = generate_uid(), generate_uid()
    return (
        {"PatientID": f"A{first}", "PatientName": "Adams^Anna"},
        {"PatientID": f"B{second}", "PatientName": "Brown^Bob"},
    )


def test_one_series_uid_in_the_studies_of_two_patients(
    any_server: Server, people: tuple[dict[str, str], dict[str, str]]
) -> None:
    series, of_a, of_b = generate_uid(), generate_uid(), generate_uid()
    a1, b1, a2 = (
        instance(**person, StudyInstanceUID=study, SeriesInstanceUID=series, InstanceNumber=number)
        for person, study, number in ((people[0], of_a, 1), (people[1], of_b, 1), (people[0], of_a, 2))
    )
    for one in (a1, b1, a2):
        path = stow(any_server, one)
        tags = any_server.client.get(f"{path}/metadata").json()
        assert tags[0]["00100020"]["Value"] == [one.dataset.PatientID]
    expected = [(a1, 2), (b1, 1)]
    for one, count in expected:
        assert of_study(any_server, one) == [(one.dataset.PatientID, str(one.dataset.PatientName), count)]
    again = instance(
        **people[0],
        StudyInstanceUID=of_a,
        SeriesInstanceUID=series,
        SOPInstanceUID=a1.uid("instance"),
        InstanceNumber=1,
        ImageComments="sent again",
    )
    stow(any_server, again)
    for one, count in expected:
        assert of_study(any_server, one) == [(one.dataset.PatientID, str(one.dataset.PatientName), count)]
    assert any_server.client.delete(f"/api/studies/{of_b}").status_code == 204
    for one in (again, a2):
        assert any_server.client.get(f"/api/instances/{one.uid('instance')}/file").content == one.file
    assert any_server.client.get(f"/api/instances/{b1.uid('instance')}").status_code == 404


def test_one_study_uid_of_two_patients(any_server: Server, people: tuple[dict[str, str], dict[str, str]]) -> None:
    study = generate_uid()
    both = [instance(**person, StudyInstanceUID=study) for person in people]
    for one in both:
        stow(any_server, one)
    expected = sorted((one.dataset.PatientID, str(one.dataset.PatientName), 1) for one in both)
    assert sorted(of_study(any_server, both[0])) == expected
    for one in both:
        found = studies(any_server, PatientID=one.dataset.PatientID)
        assert [each["0020000D"]["Value"] for each in found] == [[study]]


def test_one_sop_instance_uid_of_two_patients(
    any_server: Server, people: tuple[dict[str, str], dict[str, str]]
) -> None:
    uid = generate_uid()
    both = [instance(**person, SOPInstanceUID=uid) for person in people]
    for one in both:
        stow(any_server, one)
    for one in both:
        assert of_study(any_server, one) == [(one.dataset.PatientID, str(one.dataset.PatientName), 1)]
        assert any_server.client.get(f"/api/instances/{one.key('instance')}/file").content == one.file


def test_a_patient_id_with_several_names(any_server: Server) -> None:
    shared = {"PatientID": generate_uid()}
    maiden = instance(**shared, PatientName="Maiden^Mary", PatientBirthDate="19700101")
    married = instance(**shared, PatientName="Married^Mary", PatientBirthDate="19800202")
    for one in (maiden, married):
        stow(any_server, one)
    for one, name in ((maiden, "Maiden"), (married, "Married")):
        found = studies(any_server, PatientName=f"{name}*", **shared)
        assert [each["0020000D"]["Value"] for each in found] == [[one.uid("study")]]
        by_date = any_server.client.get(
            "/api/studies",
            params={"patient_birth_date": one.dataset.PatientBirthDate, "patient_id": shared["PatientID"]},
        )
        assert [each["id"] for each in by_date.json()] == [one.uid("study")]
        assert of_study(any_server, one) == [(shared["PatientID"], str(one.dataset.PatientName), 1)]


def test_an_empty_value_does_not_hide_a_later_one(any_server: Server) -> None:
    shared = {"PatientID": generate_uid()}
    nameless, named = instance(**shared, PatientName=""), instance(**shared, PatientName="Full^Name")
    for one in (nameless, named):
        stow(any_server, one)
    found = studies(any_server, PatientName="Full*", **shared)
    assert [each["0020000D"]["Value"] for each in found] == [[named.uid("study")]]
    assert any_server.client.get(f"/api/studies/{named.uid('study')}").json()["patient_name"] == "Full^Name"
    study = {"PatientID": generate_uid(), "StudyInstanceUID": generate_uid()}
    number = generate_uid()[-12:]
    for one in (instance(**study, AccessionNumber=""), instance(**study, AccessionNumber=number)):
        stow(any_server, one)
    found = studies(any_server, AccessionNumber=number)
    assert [each["0020000D"]["Value"] for each in found] == [[study["StudyInstanceUID"]]]
