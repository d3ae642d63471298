"""A conflict is listed once, where the paths part."""

import pytest

from neurdicom.catalog.outcomes import ambiguous, is_conflict
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Conflict


@pytest.mark.parametrize(
    ("level", "above", "listed"),
    [
        (Level.STUDY, [("p1",), ("p2",)], True),
        (Level.SERIES, [("p1", "1"), ("p1", "2")], True),
        (Level.SERIES, [("p1", "1"), ("p2", "2")], True),
        (Level.SERIES, [("p1", "1"), ("p2", "1")], False),  # of two studies of one UID
        (Level.SERIES, [("p1", "1"), ("p2", "1"), ("p2", "2")], True),
        (Level.INSTANCE, [("p1", "1", "3"), ("p1", "1", "4")], True),
        (Level.INSTANCE, [("p1", "1", "3"), ("p2", "2", "4")], True),
        (Level.INSTANCE, [("p1", "1", "3"), ("p2", "2", "3")], False),  # of two series of one UID
        (Level.INSTANCE, [("p1", "1", "3"), ("p2", "1", "4")], False),  # of two studies of one UID
        (Level.INSTANCE, [("p1", "1", "3"), ("p2", "1", "4"), ("p2", "1", "5")], True),
        (Level.INSTANCE, [("p1", "1", "3"), ("p2", "1", "4"), ("p1", "2", "3")], True),
        (Level.INSTANCE, [("p1", "1", "3"), ("p2", "1", "3"), ("p1", "2", "3")], False),
    ],
)
def test_a_uid_is_listed_where_two_of_its_paths_part(level: Level, above: list[tuple[str, ...]], listed: bool) -> None:
    assert is_conflict(level, above) is listed
    assert is_conflict(level, above[::-1]) is listed


def test_an_ambiguous_uid_names_its_candidates() -> None:
    error = ambiguous(Level.STUDY, "1.2", [f"1.2~{number}" for number in range(6)])
    assert isinstance(error, Conflict)
    assert str(error) == "the study 1.2 is there 6 times: name one of 1.2~0, 1.2~1, 1.2~2, 1.2~3, ..."
    assert len(error.candidates) == 6
