"""The summary at a run's end of the tests left out for want of data or tools."""

from tests.support.not_tested import summary


def test_reasons_are_counted_by_folder_and_the_data_set_is_one() -> None:
    skipped = [
        ("tests/dimse/test_echo.py::test_one", "Skipped: storescu (DCMTK) is not installed"),
        ("tests/pixels/test_files.py::test_one", "Skipped: MR.dcm of the developers' data set is not here"),
        ("tests/pixels/test_files.py::test_two", "Skipped: the developers' data set is not at /shared/data"),
        ("tests/dicom/test_scan.py::test_one", "Skipped: the developers' data set is not at /shared/data"),
    ]
    assert summary(skipped) == [
        "3 tests: the developers' data set, or a file of it, is not there (2 in pixels, 1 in dicom)",
        "1 tests: storescu (DCMTK) is not installed (1 in dimse)",
    ]
    assert summary([]) == []
