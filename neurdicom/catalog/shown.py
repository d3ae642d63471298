"""Attributes that an entity shows and is found by, from what its files say and the edits above them.

A study or series shows, of each attribute, the value of its earliest file that has one, and is also found by the
values of its other files; an edit counts alone. A study has the demographics of its own files. A patient shows the
demographics of its latest study, and is found by those of all its studies. A blank value, such as the name `^^`, never
hides another.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from neurdicom.catalog.records import Edit
from neurdicom.dicom.query.attributes import AT_LEVEL, Attribute, Level
from neurdicom.dicom.query.conditions import Value, sort_key

#: Most studies, the latest first, in which a patient's demographics are looked for.
LATEST_STUDIES = 100


@dataclass(frozen=True, slots=True)
class ShownAttributes:
    """Attributes of an entity.

    Attributes
    ----------
    values : dict of str to Value
        Shown values by field; what is unknown, or emptied by an edit, is left out.
    others : dict of str to list of Value
        Further values by field that the entity is found by, each once, in the order of arrival.
    """

    values: dict[str, Value]
    others: dict[str, list[Value]] = field(default_factory=dict)


def carried(level: Level) -> tuple[Attribute, ...]:
    """List the attributes that an entity of a level shows: its own, and for a study the demographics of its files."""
    return (*AT_LEVEL[Level.PATIENT], *AT_LEVEL[level]) if level is Level.STUDY else AT_LEVEL[level]


def holder_of(level: Level) -> Level:
    """Name the level whose entities are searched for attributes of a level: for demographics that is the study."""
    return Level.STUDY if level is Level.PATIENT else level


def merged(level: Level, claims: Iterable[Mapping[str, Value]], edits: Iterable[Edit] = ()) -> ShownAttributes:
    """Merge what the files of an entity say about it.

    Parameters
    ----------
    level : Level
        Level of the entity.
    claims : iterable of Mapping
        The attributes that files give, by field, in the order of their arrival; files that say the same count once.
    edits : iterable of Edit
        Edits of the entity; for a study those of its patient, too.

    Returns
    -------
    ShownAttributes
    """
    values: dict[str, Value] = {}
    others: dict[str, list[Value]] = {}
    blank: dict[str, Value] = {}
    seen: dict[str, set[object]] = {}
    fields = {attribute.field: attribute for attribute in carried(level)}
    for claim in claims:
        for name, attribute in fields.items():
            value = claim.get(name)
            if value is None:
                continue
            if is_blank(value):
                blank.setdefault(name, value)
                continue
            known = seen.setdefault(name, set())
            same = _comparable(value)
            if name not in values:
                values[name] = value
            elif same not in known and attribute.filterable:
                others.setdefault(name, []).append(value)
            known.add(same)
    values |= {name: value for name, value in blank.items() if name not in values}
    for edit in edits:
        if edit.field in fields:
            others.pop(edit.field, None)
            values.pop(edit.field, None)
            if edit.value is not None:
                values[edit.field] = edit.value
    return ShownAttributes(values, others)


def of_latest(studies: Iterable[Mapping[str, Value]], edits: Iterable[Edit] = ()) -> dict[str, Value]:
    """Select the demographics that a patient shows.

    Parameters
    ----------
    studies : iterable of Mapping
        Values that its studies show, the latest study first: by Study Date, then Study Time, then the arrival of the
        earliest instance; a study without a date is before all others. At most `LATEST_STUDIES` are read.
    edits : iterable of Edit
        Edits of the patient.
    """
    fields = [attribute.field for attribute in AT_LEVEL[Level.PATIENT]]
    values: dict[str, Value] = {}
    blank: dict[str, Value] = {}
    for study in studies:
        known = {name: value for name in fields if name not in values and (value := study.get(name)) is not None}
        blank |= {name: value for name, value in known.items() if name not in blank and is_blank(value)}
        values |= {name: value for name, value in known.items() if not is_blank(value)}
        if len(values) == len(fields):
            break
    edited = {edit.field: edit.value for edit in edits}
    return {name: value for name, value in (blank | values | edited).items() if value is not None}


def latest_first(study: Mapping[str, Value]) -> tuple[str, str]:
    """Return the key by which studies are ordered, in descending order, before their arrival: date and time."""
    date, time = sort_key("study_date", study.get("study_date")), sort_key("study_time", study.get("study_time"))
    return str(date or ""), str(time or "")


def is_blank(value: Value) -> bool:
    """Tell whether a value says nothing: an empty list, or text of spaces and delimiters of components only."""
    items = value if isinstance(value, list) else [value]
    return all(isinstance(item, str) and not item.strip(" \0^=\\") for item in items)


def _comparable(value: Value) -> object:
    return tuple(value) if isinstance(value, list) else value
