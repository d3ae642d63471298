"""Measurements become a TID 1500 report; read back with highdicom and DCMTK."""

from typing import Any

import pytest

from tests.support.derived_objects import ct_slice, dump, errors_of
from tests.support.dicom_output import BODY, MEASUREMENTS, DerivedSite


def test_groups_numbers_and_texts(site: DerivedSite) -> None:
    import highdicom  # takes a second, which every collection would spend

    instance = site.upload(ct_slice(3, PatientName="Müller^Jörg", SpecificCharacterSet="ISO_IR 100"))
    site.plugin(BODY, result=MEASUREMENTS)
    (file,) = site.store(instance)
    assert errors_of(file) == []
    ds = highdicom.sr.srread(file)
    assert (ds.Modality, str(ds.PatientName)) == ("SR", "Müller^Jörg")
    report = highdicom.sr.MeasurementReport.from_sequence(ds.content)
    groups = {group.tracking_identifier: group for group in report.get_image_measurement_groups()}
    assert list(groups) == ["Derive Tést", "lesions[0]", "lesions[1]", "lesions[1].deeper"]

    def numbers(name: str) -> list[tuple[Any, ...]]:
        return [(each.name.meaning, each.value, each.unit.value) for each in groups[name].get_measurements()]

    assert numbers("Derive Tést") == [
        ("Volume", 1412.5, "mL"), ("Mean", 41, "1"), ("Größe", 2.5, "1"),
        ("histogram", 1, "1"), ("histogram", 2, "1"), ("histogram", 3, "1"),
    ]  # fmt: skip
    assert numbers("lesions[0]") == [("Area", 4.5, "mm2")]
    assert numbers("lesions[1].deeper") == [("Length", 2, "1")]
    volume = groups["Derive Tést"].get_measurements()[0]
    assert volume.name.value == "118565006"
    assert volume.finding_sites[0].value.value == "10200004"
    answers: list[Any] = groups["Derive Tést"].get_qualitative_evaluations()
    assert [(each.name.meaning, each.value.meaning) for each in answers] == [
        ("verdict", "unauffällig"), ("is_large", "Yes"),
    ]  # fmt: skip
    assert answers[0].name.scheme_designator == "99NEURDICOM"
    (source,) = groups["lesions[0]"].source_images
    assert source.referenced_sop_instance_uid == instance
    (evidence,) = ds.CurrentRequestedProcedureEvidenceSequence
    (series,) = evidence.ReferencedSeriesSequence
    assert [item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence] == [instance]
    assert "Derive Tést" in dump(file, "dsrdump")


def test_the_answer_is_json_as_before(site: DerivedSite) -> None:
    instance = site.upload(ct_slice(1))
    site.plugin(BODY, result=MEASUREMENTS)
    answer = site.run(instance, store="true")
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json()["lesions"][1]["area"] == 5.5
    (uid,) = answer.headers["X-Stored-Instances"].split(",")
    again = site.run(instance, store="true")
    assert again.headers["X-Stored-Instances"] == uid


@pytest.mark.parametrize(
    "body", ["return 4.5", "return [1.5, 2.5]", "return [{'a': 1}, {'a': 2}]", "return {'a b\\\\c': 1}"]
)
def test_other_shapes_of_json(site: DerivedSite, body: str) -> None:
    instance = site.upload(ct_slice(1))
    site.plugin(body, result={"type": "MEASUREMENTS"})
    (file,) = site.store(instance)
    assert errors_of(file) == []
    assert dump(file, "dsrdump")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return {}", "0 measurements"),
        ("return {'a': None}", "0 measurements"),
        ("return {'a': list(range(6000))}", "6000 measurements"),
        ("a = 1\nfor _ in range(60): a = {'a': a}\nreturn a", "nested"),
    ],
)
def test_what_is_no_report(site: DerivedSite, body: str, words: str) -> None:
    instance = site.upload(ct_slice(1))
    site.plugin(body, result={"type": "MEASUREMENTS"})
    answer = site.run(instance, format="dicom")
    assert (answer.status_code, answer.json()["code"]) == (500, "plugin_failed")
    assert words in answer.json()["detail"]


def test_long_words_and_large_numbers(site: DerivedSite) -> None:
    instance = site.upload(ct_slice(1))
    site.plugin(
        "return {'ü' * 100: 1e299, 'tiny': 1e-299, 'inf': float('inf'), 'text': 'Wort ü' * 100, '': 1, 'x' * 40: -0.3}",
        result={"type": "MEASUREMENTS"},
    )
    (file,) = site.store(instance)
    assert errors_of(file) == []
