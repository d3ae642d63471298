"""Keys on attributes of levels below that of a query, on both catalogs."""

from collections.abc import Callable
from typing import Any

from neurdicom.dicom.codec.dictionary import tag_of
from neurdicom.dicom.query.attributes import Level
from tests.support.files import dicom_file
from tests.support.query_archive import QueryableArchive, keys, study


def test_keys_of_levels_below(make_archive: Callable[[], QueryableArchive]) -> None:
    """A study or series is found by any of what it holds, and shows the values of that (indexed or not)."""
    archive = make_archive()
    one: dict[str, Any] = {"SeriesDescription": "one", "SeriesNumber": 1}
    two: dict[str, Any] = {"SeriesDescription": "two", "SeriesNumber": 2}
    archive.store(
        [
            dicom_file(1, study=1, series=1, InstitutionalDepartmentName="A", SliceThickness=1, **one),
            dicom_file(2, study=1, series=1, InstitutionalDepartmentName="A", SliceThickness=2, **one),
            dicom_file(1, study=1, series=2, InstitutionalDepartmentName="B", SliceThickness=3, **two),
            dicom_file(1, study=2, series=1, PatientID="P2", SliceThickness=1, **two),
        ]
    )
    for given, studies in (
        ({"SeriesDescription": "two"}, [1, 2]),
        ({"SeriesDescription": "one"}, [1]),
        ({"SeriesDescription": "t*", "SeriesNumber": "2"}, [1, 2]),
        ({"SeriesDescription": "two", "SeriesNumber": "1"}, []),
        ({"InstitutionalDepartmentName": "B"}, [1]),
        ({"InstitutionalDepartmentName": "B", "SeriesDescription": "one"}, []),
        ({"SliceThickness": "2"}, [1]),
        ({"SliceThickness": "3", "SeriesDescription": "two"}, [1]),
        ({"SliceThickness": "3", "SeriesDescription": "one"}, []),
        ({"InstanceNumber": "2"}, [1]),
        ({"InstanceNumber": "2", "SliceThickness": "1"}, []),
        ({"SOPInstanceUID": f"{study(1)}.1.2", "SliceThickness": "2"}, [1]),
    ):
        matches = archive.find(Level.STUDY, keys(**given)).items
        assert sorted(match["0020000D"]["Value"][0] for match in matches) == [study(n) for n in studies], given
        for match in matches:
            for keyword in given.keys() & {"SeriesDescription", "InstitutionalDepartmentName"}:
                (shown,) = match[tag_of(keyword)]["Value"]
                assert shown[0] == given[keyword][0], given
        for limit in (1, 2):
            first = archive.find(Level.STUDY, keys(**given), limit=limit)
            assert len(first.items) == min(limit, len(studies))
            assert first.more == (len(studies) > limit)
    assert archive.ids(Level.SERIES, keys(SliceThickness="2")) == [f"{study(1)}.1"]
    assert archive.ids(Level.SERIES, keys(InstanceNumber="1", SliceThickness="3")) == [f"{study(1)}.2"]
    assert archive.ids(Level.PATIENT, keys(SeriesDescription="one")) == ["P1"]
    assert archive.ids(Level.PATIENT, keys(ModalitiesInStudy="OT")) == ["P1", "P2"]
    assert archive.ids(Level.PATIENT, keys(ModalitiesInStudy="CT")) == []
    assert archive.ids(Level.PATIENT, keys(StudyInstanceUID=study(2), SliceThickness="1")) == ["P2"]
