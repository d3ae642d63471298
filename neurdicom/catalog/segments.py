"""Segments of a sorted list after a position, each of which an index finds without what lies before it."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from neurdicom.dicom.query.conditions import Scalar


class Bound(NamedTuple):
    """Bound of one field: equal to a value, below or above it, or whether there is a value."""

    field: str
    relation: Literal["=", "<", ">", "missing", "present"]
    value: Scalar | None = None


def segments_after(sort: Sequence[tuple[str, bool]], past: Sequence[Scalar | None]) -> list[list[Bound]]:
    """Split what comes after a position in a sorted list into segments, in their order.

    Missing values come first in ascending order; ties are ordered by id.

    Parameters
    ----------
    sort : sequence of (str, bool)
        Field, and True for descending order.
    past : sequence
        The values of these fields and the id of the position.

    Returns
    -------
    list of list of Bound
        The bounds of each segment, which all hold in it.
    """
    *values, last = past
    found = [[*_equal(sort, values), Bound("id", ">", last)]]
    for place in range(len(sort) - 1, -1, -1):
        (field, descending), value = sort[place], values[place]
        same = _equal(sort[:place], values[:place])
        if descending and value is not None:
            found += [[*same, Bound(field, "<", value)], [*same, Bound(field, "missing")]]
        elif not descending:
            beyond = Bound(field, "present") if value is None else Bound(field, ">", value)
            found.append([*same, beyond])
    return found


def _equal(sort: Sequence[tuple[str, bool]], values: Sequence[Scalar | None]) -> list[Bound]:
    return [
        Bound(field, "missing") if value is None else Bound(field, "=", value)
        for (field, _), value in zip(sort, values, strict=True)
    ]
