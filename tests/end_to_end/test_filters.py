"""Every filter and every sort order of every list, over the data set, against `dicom.query.conditions`."""

from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from neurdicom.dicom.bare import completion
from neurdicom.dicom.header import Header
from neurdicom.dicom.part10 import read_header
from neurdicom.dicom.query.attributes import BY_FIELD, Kind, Level
from neurdicom.dicom.query.conditions import Condition, matches
from neurdicom.dicom.query.filters import filter_fields, parse_filters, sort_fields
from neurdicom.errors import Invalid
from tests.support.loaded import MANY, LoadedServer

LEVELS = list(MANY)


def header_of(path: Path) -> Header:
    """The header of a file, or of what the server makes of a dataset that is none."""
    content = path.read_bytes()
    prefix, start = completion(content)
    whole = prefix + content[start:]
    return read_header(-1, whole, len(whole)) if prefix else read_header(path)


def whole(loaded: LoadedServer, level: Level) -> list[dict[str, Any]]:
    """All entities of a level, with the attributes of those above them."""
    above = {
        each: {entity["id"]: entity for entity in loaded.walk(f"/{MANY[each]}", limit=1000)} for each in level.above
    }
    entities = loaded.walk(f"/{MANY[level]}", limit=1000)
    merged = []
    for entity in entities:
        inherited: dict[str, Any] = {}
        for each in level.above:
            inherited |= above[each][entity[each]]
        merged.append({k: v for k, v in inherited.items() if k in BY_FIELD} | entity)
    return merged


class FoundBy:
    """What entities are found by beside what they show: the values of the other files of their studies and series."""

    def __init__(self, loaded: LoadedServer) -> None:
        self._files: dict[tuple[Level, str], list[dict[str, Any]]] = defaultdict(list)
        for instance in loaded.walk("/instances", limit=1000):
            attributes = header_of(loaded.final[instance["id"]]).attributes
            for level in (Level.PATIENT, Level.STUDY, Level.SERIES):
                self._files[level, instance[level]].append(attributes)

    def meets(self, condition: Condition, level: Level, entity: dict[str, Any]) -> bool:
        """Tell whether an entity is found by a condition on its study, or on its series, or on itself."""
        if matches(condition, entity):
            return True
        of = BY_FIELD[condition.field].level if condition.field in BY_FIELD else Level.INSTANCE
        holder = level if level is Level.PATIENT else Level.STUDY if of is Level.PATIENT else of
        if holder is Level.INSTANCE:
            return False
        below = self._files[holder, entity["id"] if holder is level else entity[holder]]
        return any(matches(condition, attributes) for attributes in below)


def samples(field: str, values: list[Any]) -> set[str]:
    """Filter texts in every form that the field's kind takes, made of values that occur."""
    kind = BY_FIELD[field].kind if field in BY_FIELD else Kind.CODE if field == "modalities" else Kind.UID
    flat = sorted({str(item) for value in values for item in (value if isinstance(value, list) else [value])})
    flat = [text for text in flat if text.strip() and len(text) < 100]
    chosen = flat[:: max(1, len(flat) // 3)][:4]
    texts = set(chosen)
    if kind in {Kind.CODE, Kind.UID, Kind.DATE, Kind.INTEGER}:
        texts |= {",".join(chosen[:2])}
    if kind in {Kind.TEXT, Kind.NAME, Kind.CODE} and field in {*BY_FIELD, "modalities"}:
        for text in chosen:
            texts |= {text[:2].lower() + "*", "*" + text[-2:].upper(), text[:1] + "?" * (len(text) - 1), "?*"}
        texts |= {"*", "no such text"}
    if kind in {Kind.DATE, Kind.INTEGER, Kind.TIME} and len(chosen) > 1:
        low, high = sorted(chosen[:2], key=int if kind is Kind.INTEGER else str)
        texts |= {f"{low}-{high}", f"{low}-"} | ({f"-{high}"} if kind is not Kind.INTEGER else set())
    if kind is Kind.NAME:
        texts |= {group + "*" for text in chosen for group in text.split("=") if group}
    return texts - {""}


@pytest.mark.parametrize("level", LEVELS)
def test_filters(loaded: LoadedServer, level: Level) -> None:
    entities, found_by = whole(loaded, level), FoundBy(loaded)
    asked = hits = 0
    for field in filter_fields(level):
        member = "modalities" if level is Level.STUDY and field == "modality" else field
        for text in samples(member, [entity[member] for entity in entities if entity[member] is not None]):
            answer = loaded.client.get(f"/api/{MANY[level]}", params={field: text, "limit": 1000})
            try:
                conditions = parse_filters(level, {field: text})
            except Invalid:
                assert (answer.status_code, answer.json()["field"]) == (422, field), text
                continue
            expected = [one["id"] for one in entities if all(found_by.meets(c, level, one) for c in conditions)]
            assert answer.status_code == 200, answer.text
            assert [entity["id"] for entity in answer.json()] == expected, (field, text)
            assert answer.headers["X-Total-Count"] == str(len(expected))
            asked, hits = asked + 1, hits + bool(expected)
    assert hits > asked // 2


@pytest.mark.parametrize("level", LEVELS)
def test_sort_orders(loaded: LoadedServer, level: Level) -> None:
    entities = {entity["id"]: entity for entity in whole(loaded, level)}
    for field in sort_fields(level):
        if BY_FIELD[field].many:
            continue
        for descends in (False, True):
            listed = [one["id"] for one in loaded.walk(f"/{MANY[level]}", limit=1000, sort=f"{'-' * descends}{field}")]
            assert sorted(listed) == sorted(entities), field
            values = [entities[one][field] for one in listed]
            assert sorted(values, key=lambda value: value is not None, reverse=descends) == values, field
            pairs = pairwise(listed)
            for first, second in pairs:
                if entities[first][field] == entities[second][field]:
                    assert first < second, f"ties of {field} are ordered by id"
            if BY_FIELD[field].kind in {Kind.DATE, Kind.TIME, Kind.INTEGER, Kind.UID}:
                present = [value for value in values if value is not None]
                assert present == sorted(present, reverse=descends), field


def test_two_sort_fields_and_pages(loaded: LoadedServer) -> None:
    order = "-modality,series_number"
    listed = loaded.walk("/series", sort=order, limit=9)
    assert [one["id"] for one in listed] == [one["id"] for one in loaded.walk("/series", sort=order, limit=1000)]
    present = [(one["modality"], one["series_number"]) for one in listed if one["modality"] == "CT"]
    assert [number for _, number in present if number is not None] == sorted(
        number for _, number in present if number is not None
    )


def test_conditions_are_joined(loaded: LoadedServer) -> None:
    entities, found_by = whole(loaded, Level.INSTANCE), FoundBy(loaded)
    asked = {"modality": "CT,MR", "rows": "64-512", "patient_name": "*a*", "study_date": "19900101-20201231"}
    conditions = parse_filters(Level.INSTANCE, asked)
    expected = [one["id"] for one in entities if all(found_by.meets(c, Level.INSTANCE, one) for c in conditions)]
    listed = loaded.walk("/instances", limit=20, **asked)
    assert [one["id"] for one in listed] == expected
    assert expected
