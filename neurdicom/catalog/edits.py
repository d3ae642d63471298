"""Histories of edits: of the edits of an entity's field the last one counts.

A history is a list of the edits of one entity in the order in which they were made.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from neurdicom.catalog.records import Edit
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Value


def effective(history: Iterable[Edit]) -> list[Edit]:
    """Select the edits that count: the last of each field, in the order of fields."""
    last = {edit.field: edit for edit in history}
    return [last[field] for field in sorted(last)]


def with_changes(
    history: Sequence[Edit],
    entity: tuple[Level, str],
    changes: Mapping[str, Value],
    shown: Mapping[str, Value],
    *,
    user: str,
    time: str,
) -> list[Edit]:
    """Add edits to a history, one for each changed field, with an id of its own.

    Parameters
    ----------
    history : sequence of Edit
        The history.
    entity : (Level, str)
        Level and key of the entity.
    changes : Mapping[str, Value]
        Field name to new value.
    shown : Mapping[str, Value]
        What the entity shows until then, by field name.
    user : str
        Name of the user who makes the edits.
    time : str
        Time of the edits.
    """
    made = [
        Edit(*entity, field, value, user, time, shown.get(field), secrets.token_hex(16))
        for field, value in changes.items()
    ]
    return [*history, *made]


def without(history: Sequence[Edit], edit_id: str) -> list[Edit] | None:
    """Take an edit out of a history; return None if it is not there.

    The next edit of the same field takes over what was shown before.
    """
    at = next((number for number, edit in enumerate(history) if edit.id == edit_id), None)
    if at is None:
        return None
    undone = history[at]
    left = [*history[:at], *history[at + 1 :]]
    above = next((number for number in range(at, len(left)) if left[number].field == undone.field), None)
    if above is not None:
        left[above] = replace(left[above], before=undone.before)
    return left


def joined(there: Sequence[Edit], back: Sequence[Edit]) -> list[Edit]:
    """Merge two histories of an entity in the order of time, without duplicate edits.

    The order within each stays. `before` of an edit becomes the value of the previous edit of its field.

    Parameters
    ----------
    there : sequence of Edit
        The present history.
    back : sequence of Edit
        The history to restore; of edits of the same time its own come first.
    """
    known = {edit.id for edit in there}
    found: list[Edit] = []
    waiting = list(there)
    for edit in back:
        if edit.id in known:
            continue
        while waiting and waiting[0].time < edit.time:
            found.append(waiting.pop(0))
        found.append(edit)
    shown: dict[str, Edit] = {}
    linked: list[Edit] = []
    for edit in (*found, *waiting):
        below = shown.get(edit.field)
        shown[edit.field] = edit if below is None else replace(edit, before=below.value)
        linked.append(shown[edit.field])
    return linked


def moved_to(history: Iterable[Edit], key: str) -> list[Edit]:
    """Give the edits of a history to the entity with another key."""
    return [replace(edit, entity=key) for edit in history]
