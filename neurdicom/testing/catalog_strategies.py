"""Arrivals, edits and queries that the state machine of the archive port draws (hypothesis).

Few ids are drawn at each level, independently of each other, so that UIDs collide at every pair of levels; patients are
given with and without Patient ID and issuer.
"""

import json
from typing import Any

from hypothesis import strategies as st

from neurdicom.catalog.outcomes import StorePolicy
from neurdicom.catalog.records import NewInstance
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.identity import key_of
from neurdicom.dicom.query.attributes import AT_LEVEL, BY_FIELD, Attribute, Kind, Level
from neurdicom.dicom.query.conditions import AnyOf, Between, Condition, Either, Like, Moment, Query, Value, Word
from neurdicom.dicom.query.indexed import attributes_of
from neurdicom.testing.arrivals import header_of

#: Levels, each as likely.
LEVELS = st.sampled_from(list(Level))
#: Policies of storing, the default more often than each other.
POLICIES: st.SearchStrategy[StorePolicy] = st.sampled_from(
    [
        *[StorePolicy()] * 3,
        StorePolicy(conflicts="refuse"),
        StorePolicy(same_instance="keep"),
        StorePolicy(conflicts="refuse", same_instance="refuse"),
        StorePolicy(keep_versions=True),
        StorePolicy(same_instance="earlier", keep_versions=True),
    ]
)
_TEXTS = ["", "a", "AB", "ab c", "Ünal", "STRASSE", "straße", "a_b%", "[x]", "山田 太郎"]
_NAMES = ["DOE^JOHN", "doe^jane=山田^太郎=やまだ^たろう", "=安倍", "Ünal^Ö", "^^", "Roe"]
_VALUES: dict[Kind, list[Any]] = {
    Kind.CODE: ["CT", "MR", "ct", "US", "O"],
    Kind.TEXT: _TEXTS,
    Kind.NAME: _NAMES,
    Kind.DATE: ["20230131", "20240101", "20240229", "2024"],
    Kind.TIME: ["080000", "120000.5", "1200"],
    Kind.INTEGER: [-1, 0, 1, 7, 512],
    Kind.NUMBER: [0.5, 1.0, -3.25],
    Kind.UID: ["1.2.3", "1.2.30", "1.2.3.4"],  # none that is a number: the server of the tests would make it one
}
_PATTERNS = ["*", "d*", "*o*", "?o?*", "山*", "a?", "AB", "*[*", "ü*", "a_*", "strass*", "2024*", ""]
_WORDS = ["j*", "unal", "山*", "*o", "doe", "?oe"]
_MOMENTS = [("20240101", "0900"), ("20240101", "120000.5"), ("20240229", "080000")]
_DRAWN = ["patient_name", "study_date", "study_time", "study_id", "modality", "operators_name", "image_type", "rows"]
_DRAWN += ["content_date", "content_time", "patient_birth_date"]
_DRAWN += ["patient_sex", "other_patient_ids", "series_number", "instance_number", "sop_class_uid"]
_ATTRIBUTES = [attribute for level in Level for attribute in AT_LEVEL[level] if attribute.field in _DRAWN]
_IDENTIFIERS = ["patient_id", "issuer_of_patient_id", "study_instance_uid", "series_instance_uid", "sop_instance_uid"]
#: Patient ID and issuer; blanks at the ends do not count, nor an issuer alone.
_CLAIMS = [("", ""), ("", "X"), ("A", ""), ("A ", " "), ("A", "X"), ("A", "Y"), ("B", "")]
_UIDS = {
    Level.STUDY: ["1.1.1", "1.1.1.2", "1.1.2"],  # in another order than their keys
    Level.SERIES: ["2.1.1", "2.1.2"],
    Level.INSTANCE: ["3.1.1", "3.1.2", "3.1.3"],
}
_PATIENTS = ["pA", "pA-X", "pA-Y", "pB", *(f"p-{study}" for study in _UIDS[Level.STUDY])]


@st.composite
def attributes(draw: st.DrawFn, editable: Level | None = None) -> dict[str, Value]:
    """Draw attributes of all levels, or changes of those of a level that may be edited."""
    pool = [one for one in _ATTRIBUTES if editable is None or (one.editable and one.level is editable)]
    values: dict[str, Value] = {}
    for attribute in draw(st.lists(st.sampled_from(pool), min_size=1, max_size=8, unique_by=id)):
        one = st.sampled_from(_VALUES[attribute.kind])
        value: Any = draw(st.lists(one, max_size=2) if attribute.many else one)
        values[attribute.field] = None if editable and draw(st.integers(0, 3)) == 0 else value
    return values


@st.composite
def arrivals(draw: st.DrawFn) -> NewInstance:
    """Draw an arrival; its bytes, and so its SHA-256, follow from its place and a number."""
    patient_id, issuer = draw(st.sampled_from(_CLAIMS))
    study, series, instance = (draw(st.sampled_from(_UIDS[level])) for level in _UIDS)
    content, blob, second = draw(st.integers(1, 2)), draw(st.integers(0, 10**9)), draw(st.integers(0, 59))
    named = "-".join(["pA" if patient_id.strip() == "A" else "pB", *filter(None, [issuer.strip()])])
    ids = {"study_instance_uid": study, "series_instance_uid": series, "sop_instance_uid": instance}
    claim = {"patient_id": patient_id or None, "issuer_of_patient_id": issuer or None}
    name = "-".join([patient_id, issuer, study, series, instance, str(content)])
    drawn = draw(attributes())
    header = header_of(drawn, str(content))
    # A file says what can be read from it.
    said = attributes_of(json.loads(header))
    drawn = {name: said[name] if name in ("content_date", "content_time") else value for name, value in drawn.items()}
    return NewInstance(
        patient=named if patient_id else f"p-{study}",
        study=study,
        series=series,
        instance=instance,
        attributes={**drawn, **claim, **ids},
        header=header,
        blob=BlobRef(f"{name}-{blob}", content, f"sha-{name}"),
        received=f"2024-01-01T00:00:{second:02}Z",
        layout={"content": content},
    )


@st.composite
def references(draw: st.DrawFn, level: Level) -> str:
    """Draw a key or a UID that an entity of a level may have."""
    patient = draw(st.sampled_from(_PATIENTS))
    uids = [draw(st.sampled_from(_UIDS[each])) for each in _UIDS if each in (*level.above, level)]
    if not uids:
        return patient
    return key_of(uids[-1], patient, *uids[:-1]) if draw(st.booleans()) else uids[-1]


def _values_of(attribute: Attribute) -> list[Any]:
    if attribute.kind is Kind.UID and attribute.level in _UIDS and attribute.field in _IDENTIFIERS:
        return _UIDS[attribute.level]
    return _VALUES[attribute.kind]


def _simple(attribute: Attribute) -> st.SearchStrategy[Condition]:
    field, values = st.just(attribute.field), st.sampled_from(_values_of(attribute))
    choices: list[st.SearchStrategy[Condition]] = [
        st.builds(AnyOf, field, st.lists(values, min_size=1, max_size=2).map(tuple))
    ]
    if attribute.kind in (Kind.DATE, Kind.TIME, Kind.INTEGER):
        choices.append(st.builds(Between, field, st.none() | values, st.none() | values))
    if attribute.kind is not Kind.INTEGER:
        choices.append(st.builds(Like, field, st.sampled_from(_PATTERNS)))
    if attribute.kind is Kind.NAME:
        choices.append(st.builds(Word, field, st.sampled_from(_WORDS)))
    return st.one_of(choices)


@st.composite
def _conditions(draw: st.DrawFn, level: Level, known: list[Attribute]) -> list[Condition]:
    conditions: list[Condition] = []
    for attribute in draw(st.lists(st.sampled_from(known), max_size=2)):
        several = st.lists(_simple(attribute), min_size=1, max_size=2).map(tuple)
        either: st.SearchStrategy[Condition] = st.builds(Either, several)
        conditions.append(draw(_simple(attribute) | either))
    if level is not Level.PATIENT and draw(st.booleans()):
        conditions.append(AnyOf("modalities", (draw(st.sampled_from(_VALUES[Kind.CODE])),)))
    if level is not Level.PATIENT and draw(st.integers(0, 3)) == 0:
        conditions.append(AnyOf("sop_classes", (draw(st.sampled_from(_VALUES[Kind.UID])),)))
    pairs = [("content_date", "content_time")] * (level is Level.INSTANCE)
    pairs += [("study_date", "study_time")] * (level is not Level.PATIENT)
    for date, time in pairs:
        if draw(st.integers(0, 2)) == 0:
            ends = [draw(st.none() | st.sampled_from(_MOMENTS)) for _ in range(2)]
            conditions.append(Moment(date, time, *ends))
    named = [above for above in (*level.above, level) if draw(st.integers(0, 9)) == 0]
    some = {above: tuple(draw(st.lists(references(above), min_size=1, max_size=4))) for above in named}
    return [*conditions, *(AnyOf(above.value, several) for above, several in some.items())]


@st.composite
def queries(draw: st.DrawFn) -> Query:
    """Draw a query that every catalog can answer."""
    level = draw(LEVELS)
    identifiers = [BY_FIELD[field] for field in _IDENTIFIERS]
    known = [attribute for attribute in (*_ATTRIBUTES, *identifiers) if attribute.level in (*level.above, level)]
    conditions = draw(_conditions(level, known))
    sort = draw(st.lists(st.tuples(st.sampled_from([a.field for a in known]), st.booleans()), max_size=2))
    limit, offset = draw(st.none() | st.integers(0, 3)), draw(st.integers(0, 2))
    after = None if sort else draw(st.none() | st.just("") | references(level))
    return Query(level, tuple(conditions), tuple(sort), limit, offset, after, draw(st.booleans()))
