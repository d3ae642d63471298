"""Values of keys that mean nothing, or are written in other ways than the standard has, on both catalogs."""

from typing import Any

import pytest

from neurdicom.dicom.query.attributes import Level
from tests.support.query_archive import QueryableArchive, keys, study


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"StudyDate": "yesterday"}, [1, 2, 3, 4]),
        ({"StudyDate": "20241301"}, [1, 2, 3]),
        ({"StudyDate": "20240141"}, [1, 2, 3]),
        ({"StudyDate": "2024"}, [1, 2, 3]),
        ({"StudyDate": "202401"}, [1, 2, 3]),
        ({"StudyDate": "-"}, [1, 2, 3, 4]),
        ({"StudyDate": ["20240101", "soon"]}, [1]),
        ({"StudyTime": "25"}, [1, 2, 3, 4]),
        ({"StudyTime": "2400"}, [1, 2, 3, 4]),
        ({"StudyTime": "1080"}, [1]),
        ({"SeriesNumber": "three"}, [1, 2, 3, 4]),
        ({"SliceThickness": "thick"}, [1, 2, 3, 4]),
        ({"AcquisitionDateTime": "today"}, [1, 2, 3, 4]),
        ({"PatientName": "*".join("ab" * 1000)}, [1, 2, 3, 4]),
        ({"PatientID": ["a*"] * 1000}, [1, 2, 3, 4]),
        ({"PatientID": {"Nothing": 1}}, [1, 2, 3, 4]),
        ({"RequestAttributesSequence": "text"}, [1, 2, 3, 4]),
        ({"RequestAttributesSequence": {"00404005": {"vr": "DT", "Value": ["soon"]}}}, [1]),
    ],
    ids=str,
)
def test_odd_values_are_widened_or_ignored(archive: QueryableArchive, given: dict[str, Any], found: list[int]) -> None:
    answer = archive.find(Level.STUDY, keys(**given))
    assert sorted(match["0020000D"]["Value"][0] for match in answer.items) == [study(number) for number in found]
    assert answer.remarks


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"StudyDate": "2024.01.01"}, [1]),
        ({"StudyDate": " 20240101 - 20240231 "}, [1, 2, 3]),
        ({"StudyDate": "20240102-20240101"}, []),
        ({"StudyDate": "202401-"}, [1, 2, 3]),
        ({"StudyDate": "-2024"}, [1, 2, 3]),
        ({"StudyTime": "10:30:00"}, [1]),
        ({"StudyTime": "10:30"}, [1]),
        ({"StudyTime": "0800-10:30"}, [1, 2]),
        ({"StudyTime": "18-2400"}, [3]),
        ({"StudyTime": "200000.000-"}, [3]),
        ({"StudyTime": "220000-060000"}, []),
        ({"SeriesNumber": " 3 "}, [1]),
        ({"SeriesNumber": "+3"}, [1]),
        ({"SeriesNumber": "2-4"}, [1]),
        ({"StudyInstanceUID": [f" {study(1)} ", study(2)]}, [1, 2]),
        ({"StudyInstanceUID": "1.2.826*"}, [1, 2, 3, 4]),
        ({"SeriesInstanceUID": f"{study(1)}.?"}, [1]),
        ({"PatientName": "^^"}, [1, 2, 3, 4]),
        ({"PatientName": "="}, [1, 2, 3, 4]),
        ({"PatientName": [{"Alphabetic": "X", "Ideographic": "山田^太郎"}, "DOE^JANE^^"]}, [1, 2]),
    ],
    ids=str,
)
def test_values_that_are_written_in_other_ways(
    archive: QueryableArchive, given: dict[str, Any], found: list[int]
) -> None:
    answer = archive.find(Level.STUDY, keys(**given))
    assert sorted(match["0020000D"]["Value"][0] for match in answer.items) == [study(number) for number in found]
    assert not answer.remarks
