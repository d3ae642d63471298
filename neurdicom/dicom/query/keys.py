"""The keys of a query (PS3.4 C.2.2), sorted into those that the catalog matches and those matched on headers."""

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
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
from neurdicom.dicom.query.folding import words
from neurdicom.dicom.query.matching import NOT_SUPPORTED, as_text, is_matching, is_readable, key_texts, vr_of
from neurdicom.dicom.query.modules import level_of
from neurdicom.dicom.query.spans import read_span

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
#: Values of one key; a retrieval of a whole worklist has thousands.
_MOST_TEXTS = 100_000
_FIRST_TIME, _LAST_TIME = "", "235960"


@dataclass(slots=True)
class Keys:
    """The keys of a query, sorted by where they are matched.

    Attributes
    ----------
    conditions : list of Condition
        Conditions that the catalog evaluates.
    below : dict of Level to list of Condition
        Conditions on levels below: an entity matches if it contains one that meets them all.
    others : dict
        Matching keys (tag to element) that the catalog does not index; `dicom.query.matching` matches them on headers.
    others_below : dict
        The same for attributes of levels below.
    all_below : dict
        All matching keys (tag to element) on attributes of levels below.
    requested : dict
        All keys, tag to element: the attributes to return.
    remarks : dict of str to str
        Tags of matching keys that are not supported, or whose values mean nothing, to what was done about them.
    """

    conditions: list[Condition] = field(default_factory=list)
    below: dict[Level, list[Condition]] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)
    others_below: dict[str, Any] = field(default_factory=dict)
    all_below: dict[str, Any] = field(default_factory=dict)
    requested: dict[str, Any] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)

    @property
    def lowest(self) -> Level | None:
        """The lowest level below that of the query that a key describes; None without such keys."""
        levels = {*self.below, *(level_of(tag) for tag in self.others_below)}
        return max(levels, key=[*Level].index) if levels else None

    @property
    def conditions_below(self) -> tuple[Condition, ...]:
        """The conditions on levels below."""
        return tuple(condition for conditions in self.below.values() for condition in conditions)


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
    """
    keys = Keys()
    for tag, given in dataset.items():
        if tag in _ABOUT_QUERY:
            continue
        element = as_text(tag, given)
        keys.requested[tag] = element
        if element.get("InlineBinary") or not is_readable(tag, element):
            keys.remarks[tag] = NOT_SUPPORTED
        elif is_matching(tag, element):
            _add(keys, level, tag, element, fuzzy=fuzzy)
    if combined:
        keys.conditions = _combine(keys.conditions)
        keys.below = {below: _combine(conditions) for below, conditions in keys.below.items()}
    return keys


def _add(keys: Keys, level: Level, tag: str, element: Mapping[str, Any], *, fuzzy: bool) -> None:
    vr = vr_of(tag, element)
    texts = [] if vr == "SQ" else key_texts(vr, element)
    attribute = BY_TAG.get(tag)
    in_study = "modalities" if tag == _MODALITY and level is Level.STUDY else _IN_STUDY.get(tag)
    if tag in _NO_KEYS or vr in STREAMS:
        keys.remarks[tag] = NOT_SUPPORTED
    elif len(texts) > _MOST_TEXTS or any(len(text) > _LONGEST for text in texts):
        keys.remarks[tag] = "has too many or too long values and was ignored"
    elif in_study:
        kind = Kind.CODE if in_study == "modalities" else Kind.UID
        at = Level.STUDY if level is Level.PATIENT else level
        _place(keys, level, at, condition_on(in_study, kind, tag, texts, keys.remarks))
    elif (of := UID_TAGS.get(tag)) is not None and (of not in (*level.above, level) or any(map(is_key, texts))):
        wild = any("*" in text or "?" in text for text in texts)
        name = attribute.field if attribute and wild else of.value
        _place(keys, level, of, condition_on(name, Kind.UID, tag, texts, keys.remarks))
    elif attribute is not None and attribute.filterable:
        # A patient's attributes are those of its studies.
        for condition in _conditions(attribute, tag, texts, keys.remarks, fuzzy=fuzzy):
            _place(keys, level, attribute.level, condition)
    else:
        beyond = level_of(tag) not in (*level.above, level)
        (keys.others_below if beyond else keys.others)[tag] = element
    if not in_study and level_of(tag) not in (*level.above, level) and tag not in keys.remarks:
        keys.all_below[tag] = element


def _place(keys: Keys, level: Level, of: Level, condition: Condition | None) -> None:
    """Add a condition on an attribute of a level to those on the entities of a query, or on what they contain."""
    if condition is not None:
        beyond = of not in (*level.above, level)
        (keys.below.setdefault(of, []) if beyond else keys.conditions).append(condition)


def _conditions(
    attribute: Attribute, tag: str, texts: list[str], remarks: dict[str, str], *, fuzzy: bool
) -> Iterable[Condition | None]:
    name, kind = attribute.field, attribute.kind
    if kind is not Kind.NAME:
        return [condition_on(name, kind, tag, texts, remarks)]
    if fuzzy:
        return _fuzzy(name, tag, texts, remarks)
    groups = [group.strip() for text in texts for group in text.split("=") if group.strip(" ^")]
    if len(texts) > 1:
        return [condition_on(name, kind, tag, groups, remarks)]
    # Each of its component groups is one of the entity's.
    return [condition_on(name, kind, tag, [group], remarks) for group in groups]


def condition_on(
    name: str, kind: Kind, tag: str, texts: Sequence[str], remarks: MutableMapping[str, str]
) -> Condition | None:
    """Make the condition that a field matches any of several texts; person names match as a whole.

    Parameters
    ----------
    name : str
        Field name.
    kind : Kind
        Kind of the field's values.
    tag : str
        `GGGGEEEE`, for remarks.
    texts : sequence of str
        Single values, ranges or patterns.
    remarks : MutableMapping[str, str]
        Gets what was done about a text that does not conform to the kind.

    Returns
    -------
    Condition or None
        None where no text restricts anything.
    """
    made: list[Simple] = []
    for text in texts:
        one = _one(name, kind, text)
        if isinstance(one, str):
            remarks[tag] = one
        elif isinstance(one, tuple):
            made.append(one[0])
            remarks[tag] = one[1]
        else:
            made += one.conditions if isinstance(one, Either) else (one,)
    values = [value for one in made if isinstance(one, AnyOf) for value in one.values]
    others = [one for one in made if not isinstance(one, AnyOf)]
    if len(others) > _MOST or any(len(text) > _LONGEST for text in texts):
        remarks[tag] = "has too many or too long patterns and was ignored"
        return None
    if not made:
        return None
    if not others:
        return AnyOf(name, tuple(values))
    if not values and len(others) == 1:
        return others[0]
    return Either((*others, *([AnyOf(name, tuple(values))] if values else [])))


def _one(name: str, kind: Kind, text: str) -> AnyOf | Between | Like | Either | tuple[AnyOf | Between, str] | str:
    """Make the condition on one value, with a remark where that is due; the remark alone where it restricts nothing."""
    if kind not in (Kind.DATE, Kind.TIME, Kind.INTEGER):
        return text_condition(name, text)
    if kind is not Kind.INTEGER and ("*" in text or "?" in text):
        return Like(name, text)
    span = read_span(kind, text)
    if span is None:
        return f"{text:.40} is no {kind}, and was ignored"
    if span.low is None and span.high is None:
        return f"{span.remark}, and was ignored" if span.remark else "was ignored"
    same = span.low is not None and span.low == span.high
    found = AnyOf(name, (span.low,)) if same and span.low is not None else Between(name, span.low, span.high)
    return (found, span.remark) if span.remark else found


def _fuzzy(name: str, tag: str, texts: list[str], remarks: MutableMapping[str, str]) -> Iterable[Condition]:
    """Make conditions that each word of a name is the beginning of one of the entity's, in any order and group."""
    found = [word for text in texts for word in words(text)]
    if len(found) > _MOST:
        remarks[tag] = "has too many words and was ignored"
        return []
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
