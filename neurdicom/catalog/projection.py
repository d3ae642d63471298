"""What both adapters derive from an entity's attributes: what is searched, what is sorted by, what is answered."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson

from neurdicom.catalog.base import DescribedInstance, Edit, Entity, NewInstance
from neurdicom.dicom.query.attributes import (
    AT_LEVEL,
    BY_FIELD,
    COUNTS,
    UID_KEYWORD,
    Attribute,
    Kind,
    Level,
    snake_case,
)
from neurdicom.dicom.query.conditions import (
    AnyOf,
    Between,
    Condition,
    Either,
    Like,
    Moment,
    Query,
    Scalar,
    Value,
    Word,
    search_keys,
    sort_key,
    word_keys,
)
from neurdicom.errors import Invalid

LEVEL_NAMES = frozenset(level.value for level in Level)
_INT64 = range(-(2**63), 2**63)
_TEXT_KINDS = (Kind.CODE, Kind.TEXT, Kind.NAME)
#: What a study is found by although it is of what lies below: field to the level and the attribute there.
IN_STUDY = {"modalities": (Level.SERIES, "modality"), "sop_classes": (Level.INSTANCE, "sop_class_uid")}
#: Members of an entity that a list can be sorted by although they are no attributes.
EXTRA_SORTS: dict[Level, tuple[str, ...]] = {**COUNTS, Level.INSTANCE: ("size", "received")}
_BLANK: dict[Level, dict[str, Any]] = {
    level: {attribute.field: None for attribute in AT_LEVEL[level]} for level in Level
}


@cache
def uid_field(level: Level) -> str | None:
    """The field that always equals the entity's id; a patient has none."""
    keyword = UID_KEYWORD.get(level)
    return snake_case(keyword) if keyword else None


def has_many_keys(attribute: Attribute) -> bool:
    """Whether one entity can be found by several keys of this attribute, which need rows of their own."""
    return attribute.many or attribute.kind is Kind.NAME


def key_fields(attribute: Attribute) -> tuple[str, ...]:
    """The names of an attribute's sets of search keys: the whole values, and the words of a name."""
    if attribute.kind is Kind.NAME:
        return attribute.field, words_of(attribute.field)
    return (attribute.field,) if attribute.many else ()


def words_of(field: str) -> str:
    """The name of the set of search keys that are a name's words."""
    return f"{field}_words"


@cache
def indexed(level: Level) -> tuple[Attribute, ...]:
    """The filterable attributes of a level, without the one that is the entity's id."""
    own_id = uid_field(level)
    return tuple(a for a in AT_LEVEL[level] if a.filterable and a.field != own_id)


def sort_value(field: str, value: Value) -> Scalar | None:
    """`sort_key` in the bounds of what the backends can store: 64-bit integers, well-formed text."""
    key = sort_key(field, value)
    if isinstance(key, str):
        return clean(key)
    if isinstance(key, int) and key not in _INT64:
        return None
    return key


def clean(text: str) -> str:
    """Replace what UTF-8 can't carry (lone surrogates)."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def sort_values(level: Level, attributes: Mapping[str, Value]) -> list[Scalar | None]:
    """The sort keys of all indexed attributes of a level, in the order of `indexed`."""
    return [sort_value(a.field, attributes.get(a.field)) for a in indexed(level)]


def many_keys(level: Level, attributes: Mapping[str, Value]) -> list[tuple[str, str]]:
    """(field, folded key) for every value, name group and word of a name of the attributes that need several."""
    keys = []
    for attribute in indexed(level):
        value = attributes.get(attribute.field)
        if value is not None and has_many_keys(attribute):
            keys += [(attribute.field, clean(key)) for key in dict.fromkeys(search_keys(attribute.field, value))]
            if attribute.kind is Kind.NAME:
                words = words_of(attribute.field)
                keys += [(words, clean(key)) for key in dict.fromkeys(word_keys(value))]
    return keys


def to_json(value: Any) -> bytes:
    """Write JSON; text that UTF-8 can't carry is replaced, not refused."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return orjson.dumps(_cleaned(value))


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(str(key)): _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    if isinstance(value, int) and value not in _INT64:
        return float(value)
    return value


@dataclass(frozen=True, slots=True)
class Origin:
    """What an instance claims of itself and of the entities above: where their attributes come from.

    An entity shows the attributes, and hangs below the parent, that its earliest instance claims. So what the
    catalog answers follows from the stored files and the order of their arrival alone, and `reindex` gives it again.
    """

    ids: Mapping[Level, str]
    attributes: Mapping[str, Value]

    @classmethod
    def from_arrival(cls, new: NewInstance) -> "Origin":
        ids = {
            Level.PATIENT: new.patient,
            Level.STUDY: new.study,
            Level.SERIES: new.series,
            Level.INSTANCE: new.instance,
        }
        return cls(ids, new.attributes)

    @classmethod
    def from_json(cls, data: bytes) -> "Origin":
        stored = orjson.loads(data)
        return cls({Level(level): entity for level, entity in stored["ids"].items()}, stored["attributes"])

    def to_json(self) -> bytes:
        """Everything above the instance's own level, which the instance itself keeps."""
        above = {
            field: value
            for field, value in self.attributes.items()
            if value is not None and field in BY_FIELD and BY_FIELD[field].level is not Level.INSTANCE
        }
        return to_json({"ids": {level.value: entity for level, entity in self.ids.items()}, "attributes": above})

    def at(self, level: Level) -> dict[str, Value]:
        """The known attributes of one level, the id among them."""
        own = {a.field: self.attributes.get(a.field) for a in AT_LEVEL[level]}
        field = uid_field(level)
        if field is not None:
            own[field] = self.ids[level]
        return {name: value for name, value in own.items() if value is not None}


def with_edits(attributes: dict[str, Value], edits: list[Edit]) -> dict[str, Value]:
    """The effective attributes: an edit to None takes the attribute away."""
    edited = {**attributes, **{edit.field: edit.value for edit in edits}}
    return {field: value for field, value in edited.items() if value is not None}


def assemble(level: Level, attributes: bytes | str, ids: Mapping[str, str], members: Mapping[str, Any]) -> Entity:
    """An entity as the port answers it, from its stored attributes."""
    return {**ids, **_BLANK[level], **orjson.loads(attributes), **members}


def described_instances(rows: Sequence[tuple[Sequence[str], bytes]], edits: Iterable[Edit]) -> list[DescribedInstance]:
    """Put headers and the edits that apply to them together.

    Parameters
    ----------
    rows : sequence
        For each instance the ids of all four levels, the patient's first, and its header.
    edits : iterable of Edit
        Those of any of these entities; each entity's by field.
    """
    applying = applying_edits([chain for chain, _ in rows], edits)
    return [
        DescribedInstance(study, series, instance, header, own)
        for ((_, study, series, instance), header), own in zip(rows, applying, strict=True)
    ]


def applying_edits(chains: Iterable[Sequence[str]], edits: Iterable[Edit]) -> list[tuple[Edit, ...]]:
    """The edits that apply to each of some instances, given by the ids of all four levels, the patient's first."""
    kept: dict[tuple[Level, str], list[Edit]] = {}
    for edit in edits:
        kept.setdefault((edit.level, edit.entity), []).append(edit)
    if not kept:
        return [() for _ in chains]
    return [tuple(edit for key in zip(Level, chain, strict=True) for edit in kept.get(key, ())) for chain in chains]


def check_query(query: Query) -> None:
    """Raise `Invalid` for a field that this level can't be filtered or sorted by, or a condition it can't meet."""
    for condition in query.conditions:
        field = condition.field
        if field in IN_STUDY:
            known = query.level is not Level.PATIENT
        elif field in LEVEL_NAMES:
            known = Level(field) in (*query.level.above, query.level)
        else:
            known = _reachable(query.level, field)
        if not known:
            raise Invalid(f"{query.level} lists can't be filtered by {field!r}", field=field)
        _check_condition(condition)
    for field, _ in query.sort:
        if field not in EXTRA_SORTS[query.level] and not _reachable(query.level, field):
            raise Invalid(f"{query.level} lists can't be sorted by {field!r}", field=field)
    if query.sort and query.after is not None:
        raise Invalid("pages that begin after an id are sorted by id", field="sort")
    for name, number in (("limit", query.limit or 0), ("offset", query.offset)):
        if not 0 <= number < 2**31:
            raise Invalid(f"{name} is {number}, expected 0 to {2**31 - 1}", field=name)


def _reachable(level: Level, field: str) -> bool:
    attribute = BY_FIELD.get(field)
    return attribute is not None and attribute.filterable and attribute.level in (*level.above, level)


def _check_condition(condition: Condition) -> None:
    if isinstance(condition, Either):
        for each in condition.conditions:
            _check_condition(each)
        return
    attribute = BY_FIELD.get(condition.field)
    kind = attribute.kind if attribute else Kind.UID
    if isinstance(condition, Word) and kind is not Kind.NAME:
        raise Invalid(f"{condition.field} is no person name and has no words", field=condition.field)
    if isinstance(condition, Moment):
        of = BY_FIELD.get(condition.time)
        if kind is not Kind.DATE or not of or of.kind is not Kind.TIME or not attribute or of.level != attribute.level:
            raise Invalid(f"{condition.field} and {condition.time} are no date and time", field=condition.field)
    if isinstance(condition, AnyOf):
        ends: tuple[Scalar | None, ...] = condition.values
    else:
        ends = (condition.low, condition.high) if isinstance(condition, Between) else ()
    if any(isinstance(end, int) and end not in _INT64 for end in ends):
        raise Invalid(f"{condition.field} takes 64-bit integers", field=condition.field)
    if isinstance(condition, Between) and kind not in (Kind.DATE, Kind.TIME, Kind.INTEGER):
        raise Invalid(f"{condition.field} takes no range", field=condition.field)
    is_id = attribute is None and condition.field not in IN_STUDY
    if isinstance(condition, Like) and (is_id or kind is Kind.INTEGER):
        raise Invalid(f"{condition.field} takes no wildcards", field=condition.field)


def is_text(field: str) -> bool:
    """Whether a field is compared by folded keys."""
    attribute = BY_FIELD.get(field)
    return field == "modalities" or (attribute is not None and attribute.kind in _TEXT_KINDS)


def owner_of(field: str) -> Level:
    """The level whose table or collection holds a field or an id."""
    return BY_FIELD[field].level if field in BY_FIELD else Level(field)


def holds(document: Mapping[str, Any], equal: Mapping[str, str | int | bool]) -> bool:
    """Whether top-level members equal; `True` is not 1."""
    return all(type(document.get(name)) is type(value) and document[name] == value for name, value in equal.items())
