"""Checks of a DICOM query before an adapter translates it, and the levels of its fields."""

from neurdicom.catalog.projection import INT64, indexed
from neurdicom.catalog.shown import holder_of
from neurdicom.dicom.query.attributes import BY_FIELD, COUNTS, Kind, Level
from neurdicom.dicom.query.conditions import (
    AnyOf,
    Between,
    Condition,
    Contains,
    Either,
    Like,
    Moment,
    Query,
    Scalar,
    Word,
)
from neurdicom.dicom.query.labels import LABELS
from neurdicom.errors import Invalid

LEVEL_NAMES = frozenset(level.value for level in Level)
_TEXT_KINDS = (Kind.CODE, Kind.TEXT, Kind.NAME)
#: Fields of a study that come from levels below: field to that level and its attribute.
IN_STUDY = {"modalities": (Level.SERIES, "modality"), "sop_classes": (Level.INSTANCE, "sop_class_uid")}
#: Members of an entity that a list can be sorted by although they are not attributes.
EXTRA_SORTS: dict[Level, tuple[str, ...]] = {**COUNTS, Level.INSTANCE: ("size", "received")}


def check_query(query: Query) -> None:
    """Check that a level can be filtered and sorted by the fields of a query. Raises `Invalid`."""
    for condition in query.conditions:
        field = condition.field
        if isinstance(condition, Contains):
            if query.level not in condition.level.above or any(each.field == LABELS for each in condition.conditions):
                raise Invalid(f"{condition.level} is not below the level {query.level}, or has labels", field=field)
            check_query(Query(condition.level, condition.conditions))
            continue
        if field == LABELS:
            known = isinstance(condition, AnyOf)
        elif field in IN_STUDY:
            known = query.level is not Level.PATIENT
        elif field in LEVEL_NAMES:
            known = Level(field) in (*query.level.above, query.level)
        else:
            known = _reachable(query.level, field)
        if not known:
            raise Invalid(f"a list at the level {query.level} can't be filtered by {field!r}", field=field)
        _check_condition(condition)
    for field, _ in query.sort:
        if field not in EXTRA_SORTS[query.level] and not _reachable(query.level, field):
            raise Invalid(f"a list at the level {query.level} can't be sorted by {field!r}", field=field)
    if query.sort and query.after is not None:
        raise Invalid("a page that begins after an id is sorted by id; leave the sort out", field="sort")
    if query.past is not None and (
        query.offset or len(query.past) != len(query.sort) + 1 or not is_sorted_by_own(query)
    ):
        raise Invalid("a page after a position is sorted by attributes of its level, and has no offset", field="sort")
    for name, number in (("limit", query.limit or 0), ("offset", query.offset)):
        if not 0 <= number < 2**31:
            raise Invalid(f"{name} is {number}; 0 to {2**31 - 1} is expected", field=name)


def is_sorted_by_own(query: Query) -> bool:
    """Tell whether a list is sorted by indexed values of its own level, or by id."""
    own = {attribute.field for attribute in indexed(query.level)}
    return all(field in own and BY_FIELD[field].level is query.level for field, _ in query.sort)


def _reachable(level: Level, field: str) -> bool:
    attribute = BY_FIELD.get(field)
    return attribute is not None and attribute.filterable and attribute.level in (*level.above, level)


def _check_condition(condition: Condition) -> None:
    if isinstance(condition, Either):
        for each in condition.conditions:
            _check_condition(each)
        return
    if isinstance(condition, Contains):
        raise Invalid(f"what contains {condition.field} is not a condition among several", field=condition.field)
    attribute = BY_FIELD.get(condition.field)
    kind = attribute.kind if attribute else Kind.UID
    if isinstance(condition, Word) and kind is not Kind.NAME:
        raise Invalid(f"{condition.field} is not a person name; only those match by words", field=condition.field)
    if isinstance(condition, Moment):
        of = BY_FIELD.get(condition.time)
        if kind is not Kind.DATE or not of or of.kind is not Kind.TIME or not attribute or of.level != attribute.level:
            raise Invalid(f"{condition.field} and {condition.time} are not a date and its time", field=condition.field)
    if isinstance(condition, AnyOf):
        ends: tuple[Scalar | None, ...] = condition.values
    else:
        ends = (condition.low, condition.high) if isinstance(condition, Between) else ()
    if any(isinstance(end, int) and end not in INT64 for end in ends):
        raise Invalid(f"{condition.field} takes integers of at most 64 bits", field=condition.field)
    if isinstance(condition, Between) and kind not in (Kind.DATE, Kind.TIME, Kind.INTEGER):
        raise Invalid(f"{condition.field} takes no range", field=condition.field)
    is_id = attribute is None and condition.field not in IN_STUDY
    if isinstance(condition, Like) and (is_id or kind is Kind.INTEGER):
        raise Invalid(f"{condition.field} takes no wildcards", field=condition.field)


def is_text(field: str) -> bool:
    """Tell whether a field is compared by folded keys."""
    attribute = BY_FIELD.get(field)
    return field == "modalities" or (attribute is not None and attribute.kind in _TEXT_KINDS)


def owner_of(field: str) -> Level:
    """Look up the level whose table or collection is searched for a field or an id: for demographics the study's."""
    return holder_of(BY_FIELD[field].level) if field in BY_FIELD else Level(field)


def sorted_at(level: Level, field: str) -> Level:
    """Look up the level whose table or collection a list is sorted by; patients are sorted by what they show."""
    if field not in BY_FIELD:
        return level
    own = BY_FIELD[field].level
    return own if level is Level.PATIENT else holder_of(own)
