"""The keys of a query (PS3.4 C.2.2), sorted into those that the catalog matches and those matched on headers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from neurdicom.dicom.codec.dictionary import tag_of
from neurdicom.dicom.codec.value_readers import STREAMS
from neurdicom.dicom.identity import is_key
from neurdicom.dicom.query.attributes import ATTRIBUTES, UID_KEYWORD, Attribute, Kind, Level
from neurdicom.dicom.query.conditions import (
    AnyOf,
    Between,
    Condition,
    Either,
    Like,
    Moment,
    Scalar,
    Simple,
    Word,
    text_condition,
)
from neurdicom.dicom.query.filters import date_range, integer_range, time_range
from neurdicom.dicom.query.folding import words
from neurdicom.dicom.query.matching import is_matching, key_texts, vr_of
from neurdicom.errors import Invalid

#: The indexed attributes by their tags.
BY_TAG: dict[str, Attribute] = {tag_of(attribute.keyword): attribute for attribute in ATTRIBUTES}
UID_TAGS: dict[str, Level] = {tag_of(keyword): level for level, keyword in UID_KEYWORD.items()}

_IN_STUDY = {tag_of("ModalitiesInStudy"): "modalities", tag_of("SOPClassesInStudy"): "sop_classes"}
_MODALITY = tag_of("Modality")
#: Attributes that describe the query, and are not keys.
_ABOUT_QUERY = frozenset({tag_of("SpecificCharacterSet"), tag_of("QueryRetrieveLevel")})
#: Attributes that no stored dataset has, or whose value would change the meaning of other keys.
_NO_KEYS = frozenset(map(tag_of, ("RetrieveAETitle", "RetrieveURL", "TimezoneOffsetFromUTC")))
#: Dates and their times of day, which a combined range takes together (PS3.4 C.2.2.2.5).
_PAIRS = (
    ("study_date", "study_time"),
    ("series_date", "series_time"),
    ("performed_procedure_step_start_date", "performed_procedure_step_start_time"),
    ("content_date", "content_time"),
    ("acquisition_date", "acquisition_time"),
)
#: A pattern or range of more characters, or more of them in one key, are an attack rather than a question.
_LONGEST, _MOST = 1024, 64
_FIRST_TIME, _LAST_TIME = "", "235960"


@dataclass(slots=True)
class Keys:
    """The keys of a query, sorted by where they are matched.

    Attributes
    ----------
    conditions : list of Condition
        Conditions that the catalog evaluates.
    within : dict of Level to list of str
        UIDs of levels below: an entity matches if it contains one of them.
    others : dict
        Matching keys (tag to element) that the catalog does not index; `dicom.query.matching` matches them on headers.
    requested : dict
        All keys, tag to element: the attributes to return.
    ignored : list of str
        Tags of matching keys that are not supported.
    """

    conditions: list[Condition] = field(default_factory=list)
    within: dict[Level, list[str]] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)
    requested: dict[str, Any] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)


def read_keys(level: Level, dataset: Mapping[str, Any], *, fuzzy: bool = False, combined: bool = False) -> Keys:
    """Sort the keys of a query by where they are matched: in the catalog or on headers.

    Parameters
    ----------
    level : Level
        Level of the query.
    dataset : Mapping[str, Any]
        The identifier in the DICOM JSON model; UIDs may be keys (`dicom.identity`), which name one entity each.
    fuzzy : bool
        True to match person names by words: each word of the key is the beginning of a word of the name.
    combined : bool
        True to combine a range of dates and a range of their times into one (PS3.4 C.2.2.2.5.1).

    Returns
    -------
    Keys

    Raises
    ------
    Invalid
        A value does not conform to its attribute, such as a date; `field` is the tag.
    """
    keys = Keys()
    for tag, element in dataset.items():
        if tag in _ABOUT_QUERY:
            continue
        keys.requested[tag] = element
        if is_matching(tag, element):
            _add(keys, level, tag, element, fuzzy=fuzzy)
        elif element.get("InlineBinary"):
            keys.ignored.append(tag)
    if combined:
        keys.conditions = _combine(keys.conditions)
    return keys


def _add(keys: Keys, level: Level, tag: str, element: Mapping[str, Any], *, fuzzy: bool) -> None:
    vr = vr_of(tag, element)
    attribute = BY_TAG.get(tag)
    reach = (*level.above, level)
    below = UID_TAGS.get(tag)
    in_study = "modalities" if tag == _MODALITY and level is Level.STUDY else _IN_STUDY.get(tag)
    if tag in _NO_KEYS or (vr in STREAMS) or (in_study and level is Level.PATIENT):
        keys.ignored.append(tag)
    elif in_study:
        kind = Kind.CODE if in_study == "modalities" else Kind.UID
        keys.conditions.append(condition_on(in_study, kind, tag, key_texts(vr, element)))
    elif below is not None and below not in reach:
        keys.within[below] = key_texts(vr, element)
    elif below is not None and any(map(is_key, key_texts(vr, element))):
        keys.conditions.append(AnyOf(below.value, tuple(key_texts(vr, element))))
    elif attribute is not None and attribute.filterable and attribute.level in reach:
        texts = key_texts(vr, element)
        groups = [group.strip() for text in texts for group in text.split("=") if group.strip(" ^")]
        if fuzzy and attribute.kind is Kind.NAME:
            keys.conditions += _fuzzy(attribute.field, tag, texts)
        elif attribute.kind is Kind.NAME and len(texts) == 1:
            # Each of its component groups is one of the entity's.
            keys.conditions += [condition_on(attribute.field, Kind.NAME, tag, [group]) for group in groups]
        elif attribute.kind is Kind.NAME:
            keys.conditions += [condition_on(attribute.field, Kind.NAME, tag, groups)] if groups else []
        else:
            keys.conditions.append(condition_on(attribute.field, attribute.kind, tag, texts))
    else:
        keys.others[tag] = element


def condition_on(name: str, kind: Kind, tag: str, texts: list[str]) -> Condition:
    """Make the condition that a field matches any of several texts; person names match as a whole.

    Parameters
    ----------
    name : str
        Field name.
    kind : Kind
        Kind of the field's values.
    tag : str
        `GGGGEEEE`, for errors.
    texts : list of str
        Single values, ranges or patterns; at least one.

    Raises
    ------
    Invalid
        A text does not conform to the kind, or there are too many or too long patterns; `field` is the tag.
    """
    made: list[Simple] = []
    for text in texts:
        is_range = kind in (Kind.DATE, Kind.TIME, Kind.INTEGER)
        one = _range(name, kind, tag, text) if is_range else text_condition(name, text)
        made += one.conditions if isinstance(one, Either) else (one,)
    values = [value for one in made if isinstance(one, AnyOf) for value in one.values]
    others = [one for one in made if not isinstance(one, AnyOf)]
    if not others:
        return AnyOf(name, tuple(values))
    if len(others) > _MOST or any(len(text) > _LONGEST for text in texts):
        raise Invalid(f"{tag} holds more than {_MOST} patterns or one of more than {_LONGEST} characters", field=tag)
    if not values and len(others) == 1:
        return others[0]
    return Either((*others, *([AnyOf(name, tuple(values))] if values else [])))


def _range(name: str, kind: Kind, tag: str, text: str) -> AnyOf | Between | Like:
    if kind is not Kind.INTEGER and ("*" in text or "?" in text):
        return Like(name, text)
    read = {Kind.DATE: date_range, Kind.TIME: time_range, Kind.INTEGER: integer_range}[kind]
    low, high = read(tag, text)
    return AnyOf(name, (low,)) if low is not None and low == high else Between(name, low, high)


def _fuzzy(name: str, tag: str, texts: list[str]) -> Iterable[Condition]:
    """Make conditions that each word of a name is the beginning of one of the entity's, in any order and group."""
    found = [word for text in texts for word in words(text)]
    if len(found) > _MOST or any(len(word) > _LONGEST for word in found):
        raise Invalid(f"{tag} holds more than {_MOST} words or one of more than {_LONGEST} characters", field=tag)
    return [Word(name, word.rstrip("*") + "*") for word in dict.fromkeys(found) if word.strip("*")]


def _combine(conditions: list[Condition]) -> list[Condition]:
    by_field = {condition.field: condition for condition in conditions}
    for date, time in _PAIRS:
        days, times = (_ends(by_field.get(name)) for name in (date, time))
        if days and times:
            low = None if days[0] is None else (str(days[0]), str(times[0] or _FIRST_TIME))
            high = None if days[1] is None else (str(days[1]), str(times[1] or _LAST_TIME))
            conditions = [each for each in conditions if each.field not in (date, time)]
            conditions.append(Moment(date, time, low, high))
    return conditions


def _ends(condition: Condition | None) -> tuple[Scalar | None, Scalar | None] | None:
    """Return both ends of a range or of a single value; None for any other condition."""
    if isinstance(condition, Between):
        return condition.low, condition.high
    if isinstance(condition, AnyOf) and len(condition.values) == 1:
        return condition.values[0], condition.values[0]
    return None
