"""One word, one meaning: the name of a class occurs once in the package."""

from collections import defaultdict

from tests.support.source import classes


def test_class_names_occur_once() -> None:
    places = defaultdict(list)
    for name, module in classes():
        places[name].append(module)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
