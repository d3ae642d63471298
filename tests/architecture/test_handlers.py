"""Handlers that share a path become one class, where a method of the one must not take the place of the other's."""

from collections import Counter

from neurdicom.dicomweb.routes import ROUTES


def test_joined_handlers_have_no_name_in_common() -> None:
    joined = [route.handler for route in ROUTES if len(route.handler.__bases__) > 1]
    assert joined
    for handler in joined:
        ancestries = [set(base.__mro__) for base in handler.__bases__]
        shared = set.intersection(*ancestries)
        # What is inherited by all of them may be overridden by several, which call each other by `super`.
        inherited = {name for ancestor in shared for name in vars(ancestor)}
        counts: Counter[str] = Counter()
        for ancestry in ancestries:
            counts.update({name for ancestor in ancestry - shared for name in vars(ancestor)} - inherited)
        assert [name for name, count in counts.items() if count > 1] == []
