"""Matching and return keys, on both catalogs."""

from collections.abc import Callable
from typing import Any

import pytest

from neurdicom.dicom.codec.dictionary import tag_of
from neurdicom.dicom.query.attributes import Level
from tests.support.files import dicom_file
from tests.support.query_archive import QueryableArchive, keys, study


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, [1, 2, 3, 4]),
        ({"PatientID": "A1"}, [1]),
        ({"PatientID": "a1"}, [1]),
        ({"PatientID": "*"}, [1, 2, 3, 4]),
        ({"PatientID": "?1"}, [1]),
        ({"PatientName": "DOE*"}, [1, 4]),
        ({"PatientName": {"Alphabetic": "DOE^J?NE"}}, [1]),
        ({"PatientName": "doe^jane"}, [1]),
        ({"PatientName": "doe"}, []),
        ({"PatientName": "山*"}, [2]),
        ({"PatientName": {"Ideographic": "山田^太郎"}}, [2]),
        ({"PatientName": "YAMADA^*=山田^太郎"}, [2]),
        ({"PatientName": "DOE^*=山田^太郎"}, []),
        ({"StudyInstanceUID": [study(1), study(3)]}, [1, 3]),
        ({"StudyInstanceUID": f"{study(1)}\\{study(3)}"}, [1, 3]),
        ({"StudyDate": "20240102"}, [2, 3]),
        ({"StudyDate": "20240101-20240101"}, [1]),
        ({"StudyDate": "-20240101"}, [1]),
        ({"StudyDate": "20240102-"}, [2, 3]),
        ({"StudyTime": "08-11"}, [1, 2]),
        ({"StudyTime": "103000"}, [1]),
        ({"ModalitiesInStudy": "SR"}, [1]),
        ({"ModalitiesInStudy": ["MR", "US"]}, [2, 3]),
        ({"ModalitiesInStudy": "S?"}, [1]),
        ({"Modality": "SR"}, [1]),
        ({"SOPClassesInStudy": "1.2.840.10008.5.1.4.1.1.88.11"}, [1]),
        ({"AccessionNumber": "X*"}, [3]),
        ({"AccessionNumber": "X?Y"}, [3]),
        ({"SeriesInstanceUID": f"{study(1)}.2"}, [1]),
        ({"SOPInstanceUID": [f"{study(2)}.1.1", f"{study(4)}.1.1"]}, [2, 4]),
        ({"SOPInstanceUID": "1.2.3"}, []),
        ({"InstitutionalDepartmentName": "radio*"}, [1]),
        ({"InstitutionalDepartmentName": ["Radiology", "Neurology"]}, [1, 2]),
        ({"RequestAttributesSequence": {"00400009": {"vr": "SH", "Value": ["S1"]}}}, [1]),
        ({"RequestAttributesSequence": {"00400009": {"vr": "SH", "Value": ["S2"]}}}, []),
        ({"RequestAttributesSequence": {"00400009": {"vr": "SH"}}}, [1, 2, 3, 4]),
        ({"NumberOfStudyRelatedInstances": 3}, [1]),
        ({"NumberOfStudyRelatedSeries": "2"}, [1]),
        ({"PatientName": "DOE*", "ModalitiesInStudy": "CT", "StudyDate": "20240101"}, [1]),
        ({"StudyDate": ["20240101", "20240102-20240103"]}, [1, 2, 3]),
    ],
    ids=str,
)
def test_studies(archive: QueryableArchive, given: dict[str, Any], found: list[int]) -> None:
    assert archive.ids(Level.STUDY, keys(**given)) == [study(number) for number in found]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("jane doe", [1]),
        ("DOE J", [1, 4]),
        ("Doe^J*", [1, 4]),
        ("muller zoe", [3]),
        ("Lüdenscheidt", [3]),
        ("ludensch", [3]),
        ("やま", [2]),
        ("太郎 山田", [2]),
        ("oe", []),
        ("doe muller", []),
    ],
)
def test_fuzzy_names(archive: QueryableArchive, name: str, found: list[int]) -> None:
    assert archive.ids(Level.STUDY, keys(PatientName=name), fuzzy=True) == [study(number) for number in found]


@pytest.mark.parametrize(
    ("date", "time", "apart", "combined"),
    [
        ("20240101-20240102", "10-09", [], [1, 2]),
        ("20240101-", "1200-", [3], [2, 3]),
        ("-20240102", "-0900", [2], [1, 2]),
        ("20240102", "0700-1200", [2], [2]),
    ],
)
def test_dates_and_times_together(
    archive: QueryableArchive, date: str, time: str, apart: list[int], combined: list[int]
) -> None:
    given = keys(StudyDate=date, StudyTime=time)
    assert archive.ids(Level.STUDY, given) == [study(number) for number in apart]
    assert archive.ids(Level.STUDY, given, combined_datetime=True) == [study(number) for number in combined]


def test_lower_levels_by_keys_of_those_above(archive: QueryableArchive) -> None:
    assert archive.ids(Level.SERIES, keys(PatientID="A1")) == [f"{study(1)}.1", f"{study(1)}.2"]
    assert archive.ids(Level.SERIES, keys(ModalitiesInStudy="SR")) == [f"{study(1)}.1", f"{study(1)}.2"]
    assert archive.ids(Level.SERIES, keys(Modality="SR", StudyInstanceUID=study(1))) == [f"{study(1)}.2"]
    assert archive.ids(Level.INSTANCE, keys(PatientName="doe*", InstanceNumber="2")) == [f"{study(1)}.1.2"]
    assert archive.ids(Level.PATIENT, keys(StudyInstanceUID=study(2))) == ["B2"]


def test_what_is_answered_by_default(archive: QueryableArchive) -> None:
    (match,) = archive.find(Level.STUDY, keys(PatientID="A1")).items
    assert match == {
        "00080020": {"vr": "DA", "Value": ["20240101"]},
        "00080030": {"vr": "TM", "Value": ["103000"]},
        "00080050": {"vr": "SH"},
        "00080056": {"vr": "CS", "Value": ["ONLINE"]},
        "00080061": {"vr": "CS", "Value": ["CT", "SR"]},
        "00080090": {"vr": "PN"},
        "00080201": {"vr": "SH", "Value": ["+0100"]},
        "00081030": {"vr": "LO", "Value": ["Chest CT"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]},
        "00100020": {"vr": "LO", "Value": ["A1"]},
        "00100030": {"vr": "DA"},
        "00100040": {"vr": "CS"},
        "0020000D": {"vr": "UI", "Value": [study(1)]},
        "00200010": {"vr": "SH"},
        "00201206": {"vr": "IS", "Value": [2]},
        "00201208": {"vr": "IS", "Value": [3]},
    }
    first, second = archive.find(Level.SERIES, keys(StudyInstanceUID=study(1))).items
    assert first[tag_of("RequestAttributesSequence")]["Value"] == [
        {"00400009": {"vr": "SH", "Value": ["S1"]}, "00401001": {"vr": "SH", "Value": ["R1"]}}
    ]
    assert first[tag_of("NumberOfSeriesRelatedInstances")]["Value"] == [2]
    assert tag_of("PatientName") not in first
    assert second[tag_of("Modality")]["Value"] == ["SR"]
    instance = archive.find(Level.INSTANCE, keys(StudyInstanceUID=study(2))).items[0]
    assert instance[tag_of("Rows")] == {"vr": "US", "Value": [4]}
    assert tag_of("NumberOfFrames") not in instance


def test_what_is_asked_for_besides(archive: QueryableArchive) -> None:
    asked = keys(
        PatientID="A1", SOPClassesInStudy=None, InstitutionalDepartmentName=None, NumberOfPatientRelatedSeries=None,
        PatientComments=None, Rows=None, SOPInstanceUID=None,
    )  # fmt: skip
    (match,) = archive.find(Level.STUDY, asked).items
    assert match[tag_of("SOPClassesInStudy")]["Value"] == [
        "1.2.840.10008.5.1.4.1.1.7",
        "1.2.840.10008.5.1.4.1.1.88.11",
    ]
    assert match[tag_of("InstitutionalDepartmentName")]["Value"] == ["Radiology"]
    assert match[tag_of("NumberOfPatientRelatedSeries")]["Value"] == [2]
    assert match[tag_of("PatientComments")] == {"vr": "LT"}
    assert match[tag_of("Rows")]["Value"] == [4]
    assert tag_of("SOPInstanceUID") not in match
    (series, _) = archive.find(
        Level.SERIES, keys(StudyInstanceUID=study(1)), include=[tag_of("PatientName"), tag_of("ModalitiesInStudy")]
    ).items
    assert series[tag_of("PatientName")]["Value"] == [{"Alphabetic": "Doe^Jane"}]
    assert series[tag_of("ModalitiesInStudy")]["Value"] == ["CT", "SR"]


def test_all_attributes_of_a_level(archive: QueryableArchive) -> None:
    whole = archive.find(Level.INSTANCE, keys(SOPInstanceUID=f"{study(1)}.1.1"), include="all").items[0]
    for keyword in ("BitsStored", "PatientName", "InstitutionalDepartmentName", "NumberOfSeriesRelatedInstances"):
        assert whole[tag_of(keyword)]["Value"], keyword
    assert tag_of("PixelData") not in whole
    assert list(whole) == sorted(whole)
    (one,) = archive.find(Level.STUDY, keys(PatientID="A1"), include="all").items
    assert tag_of("InstitutionalDepartmentName") not in one
    assert tag_of("StudyID") in one


def test_pages(archive: QueryableArchive) -> None:
    everything = archive.ids(Level.INSTANCE)
    assert len(everything) == 6
    for given in ({}, keys(InstitutionalDepartmentName="*", SamplesPerPixel=1)):
        found: list[str] = []
        after, more = None, True
        while more:
            page = archive.find(Level.INSTANCE, given, limit=2, after=after)
            found += [item["00080018"]["Value"][0] for item in page.items]
            after, more = page.last, page.more
        assert found == everything
        assert archive.ids(Level.INSTANCE, given, offset=4) == everything[4:]
        assert archive.ids(Level.INSTANCE, given, offset=1, limit=2) == everything[1:3]
        assert archive.find(Level.INSTANCE, given, limit=0).items == []
        assert archive.find(Level.INSTANCE, given, offset=100).items == []


def test_pages_of_large_matches_end_early(make_archive: Callable[[], QueryableArchive]) -> None:
    archive = make_archive()
    archive.store([dicom_file(n, TextValue="x" * 900_000) for n in range(1, 60)])
    found, after, pages, more = [], None, 0, True
    while more:
        page = archive.find(Level.INSTANCE, {}, include="all", limit=500, after=after)
        found += [item["00080018"]["Value"][0] for item in page.items]
        after, more, pages = page.last, page.more, pages + 1
    assert found == archive.ids(Level.INSTANCE)
    assert len(found) == 59
    assert pages > 1


def test_edits_are_matched_and_answered(make_archive: Callable[[], QueryableArchive]) -> None:
    archive = make_archive()
    archive.store([dicom_file(1, PatientID="E", StudyID="S"), dicom_file(1, study=2, PatientID="F")])
    patient = archive.runner.run(archive.catalog.get(Level.STUDY, study(1)))["patient"]  # type: ignore[index]
    archive.edit(Level.PATIENT, patient, patient_name="Łuk^Ewa=安倍", patient_comments="seen")
    archive.edit(Level.STUDY, study(1), study_id=None)
    archive.edit(Level.SERIES, f"{study(1)}.1", modality="CT")
    archive.edit(Level.INSTANCE, f"{study(1)}.1.1", image_comments="blurred", window_center=[40.0])
    for given in ({"PatientName": "łuk*"}, {"PatientComments": "SEEN"}, {"Modality": "CT"}, {"ImageComments": "bl*"}):
        (match,) = archive.find(Level.STUDY, keys(**given, WindowCenter=None)).items
        assert match[tag_of("PatientName")]["Value"] == [{"Alphabetic": "Łuk^Ewa", "Ideographic": "安倍"}]
        assert match[tag_of("WindowCenter")]["Value"] == [40.0]
        assert match[tag_of("StudyID")] == {"vr": "SH"}
        assert match[tag_of("ModalitiesInStudy")]["Value"] == ["CT"]
    assert archive.ids(Level.STUDY, keys(PatientName="luk", StudyID=None), fuzzy=True) == [study(1)]
    assert archive.ids(Level.STUDY, keys(PatientName="ewa"), fuzzy=True) == [study(1)]
    assert archive.ids(Level.STUDY, keys(StudyID="S")) == []


def test_counts_after_deletions(make_archive: Callable[[], QueryableArchive]) -> None:
    archive = make_archive()
    archive.store([dicom_file(n, series=s, Modality=m) for s, m in ((1, "CT"), (2, "MR")) for n in (1, 2, 3)])
    archive.runner.run(archive.catalog.delete(Level.INSTANCE, f"{study(1)}.1.1"))
    archive.runner.run(archive.catalog.delete(Level.SERIES, f"{study(1)}.2"))
    (match,) = archive.find(Level.STUDY, keys(NumberOfPatientRelatedInstances=None)).items
    counts = ("NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances", "NumberOfPatientRelatedInstances")
    assert [match[tag_of(keyword)]["Value"] for keyword in counts] == [[1], [2], [2]]
    assert match[tag_of("ModalitiesInStudy")]["Value"] == ["CT"]


def test_the_newest_come_first_on_pages_of_any_size(archive: QueryableArchive) -> None:
    """By date and time; those without a date come last, ties in the order of their ids."""
    newest = [study(number) for number in (3, 2, 1, 4)]
    for given in ({}, {"PatientID": "*"}, {"ModalitiesInStudy": ["CT", "MR", "US", "OT"]}, {"HighBit": "7"}):
        for limit in (1, 3, None):
            found: list[str] = []
            after = None
            while True:
                page = archive.find(Level.STUDY, keys(**given), limit=limit, after=after)
                found += [match["0020000D"]["Value"][0] for match in page.items]
                after = page.last
                if not page.more:
                    break
            assert found == newest, (given, limit)
    found = [match["0020000D"]["Value"][0] for match in archive.find(Level.STUDY, {}, offset=1, limit=2).items]
    assert found == newest[1:3]


@pytest.mark.parametrize(
    "text",
    [
        "a\0b*",
        "\ud800*",
        "[*",
        "$where",
        "'; --*",
        "\U0010ffff*",
        "(a+)+$*",
        "*" * 100 + "q",
        "*e" * 30 + "q",
        "*?" * 90,
    ],
)
def test_hostile_values_match_nothing(archive: QueryableArchive, text: str) -> None:
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "InstitutionalDepartmentName", "ModalitiesInStudy"):
        assert archive.ids(Level.STUDY, keys(**{keyword: text})) == [], keyword
    assert archive.ids(Level.STUDY, keys(PatientName=text), fuzzy=True) == []


def test_keys_that_are_not_supported(archive: QueryableArchive) -> None:
    given = keys(PatientID="A1", RetrieveAETitle="X", QueryRetrieveLevel="STUDY", TimezoneOffsetFromUTC="+0100")
    found = archive.find(Level.STUDY, given)
    assert [*found.remarks] == [tag_of("RetrieveAETitle"), tag_of("TimezoneOffsetFromUTC")]
    assert len(found.items) == 1


def test_many_uids(archive: QueryableArchive) -> None:
    assert archive.ids(Level.STUDY, keys(StudyInstanceUID=[study(n) for n in range(3, 40_000)])) == [study(3), study(4)]
