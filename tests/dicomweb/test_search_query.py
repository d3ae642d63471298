"""Searches below a path: which UIDs and keys of the path and of the parameters leave something to be found."""

import pytest

from neurdicom.dicomweb.search_query import read_search

STUDY = "0020000D"
KEY, OTHER_KEY = "1.2.3~0a1b2c3d", "1.2.3~ffffffff"


@pytest.mark.parametrize(
    ("given", "entity", "sought"),
    [
        (None, "1.2.3", "1.2.3"),
        ("*", "1.2.3", "1.2.3"),
        ("1.2.3", "1.2.3", "1.2.3"),
        ("1.2.4,1.2.3", "1.2.3", "1.2.3"),
        ("1.2.4", "1.2.3", None),
        (None, KEY, KEY),
        ("*", KEY, KEY),
        ("1.2.3", KEY, KEY),
        (KEY, KEY, KEY),
        (KEY, "1.2.3", KEY),
        (OTHER_KEY, KEY, None),
        ("1.2.4", KEY, None),
        (None, "1.2.3~0A1B2C3D", None),
        (None, "1.2.3~0a1b", None),
        (None, "1.2.3*", None),
        (None, "1.2.3\\1.2.4", None),
    ],
)
def test_a_path_narrows_a_search(given: str | None, entity: str, sought: str | None) -> None:
    query = read_search({} if given is None else {"StudyInstanceUID": [given]})
    assert query.narrow(STUDY, entity) == (sought is not None)
    if sought is not None:
        assert query.keys[STUDY] == {"vr": "UI", "Value": [sought]}
