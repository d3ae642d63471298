"""DICOM queries over the catalog, for C-FIND and QIDO-RS (PS3.4 C.2.2 and C.6, PS3.18 10.6)."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from neurdicom.archive.available_syntax import AVAILABLE_SYNTAX, available_syntax
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import DescribedInstance, Entity
from neurdicom.dicom.edits.apply import apply_to_json
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Condition, Query
from neurdicom.dicom.query.keys import Keys, read_keys
from neurdicom.dicom.query.matching import matcher
from neurdicom.dicom.query.response import PATIENT_SERIES, SOP_CLASSES, Include, ResponseTemplate

#: Recommended number of matches for one request.
PAGE = 500
#: Headers read at a time: few at first, then as many as fit into these bytes, since those of some objects are large.
_FIRST_HEADERS, _MOST_HEADERS = 10, 200
_HEADER_BYTES = 8 * 1024 * 1024
#: Bytes of headers after which a page ends early.
_PAGE_BYTES = 32 * 1024 * 1024
#: Making more matches would hold the event loop, so a thread does it; fewer are done before a thread would start.
_MANY = 1000
#: Most times that entities are read again because they were moved between two reads.
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Matches:
    """Page of the matches of a query, in the order of their ids.

    Attributes
    ----------
    items : list of dict
        Datasets in the DICOM JSON model, without SpecificCharacterSet (they are Unicode) and RetrieveURL.
    last : str or None
        Id of the last one, for the `after` of the next page; None without items.
    more : bool
        Whether there are others after it.
    ignored : tuple of str
        Tags of matching keys that are not supported and were ignored.
    places : list of tuple of str
        Ids of each match and of the entities above it, its study's first: those that a URL names it by.
    """

    items: list[dict[str, Any]]
    last: str | None
    more: bool
    ignored: tuple[str, ...] = ()
    places: list[tuple[str, ...]] = field(default_factory=list)


class QueryService:
    """Service that matches keys and returns the requested attributes. Edits are applied in both."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def find(
        self,
        level: Level,
        keys: Mapping[str, Any],
        *,
        fuzzy: bool = False,
        combined_datetime: bool = False,
        include: Include = (),
        defaults: bool = True,
        limit: int | None = None,
        offset: int = 0,
        after: str | None = None,
    ) -> Matches:
        """Find the entities of a level that match keys.

        The datasets are to be read, not changed in depth: they share what is the same in all.

        Parameters
        ----------
        level : Level
            Query level.
        keys : Mapping[str, Any]
            A dataset in the DICOM JSON model: elements with a value are matching keys, with values as in C-FIND
            (`DOE*`, `20240101-20240131`, several UIDs); empty ones are only returned; a sequence holds one item.
            Keys of levels above are matched too, and UIDs of levels below by the entities that contain them.
        fuzzy : bool
            Each word of a person name begins one of the entity's, in any order and component group; accents and
            case do not count.
        combined_datetime : bool
            Match a range of dates and the range of times that belongs to it as one range (PS3.4 C.2.2.2.5).
        include : "all" or collection of str
            Tags (8 hexadecimal digits, upper case) to return besides the defaults of the level and the keys.
        defaults : bool
            Return the defaults of the level, as QIDO-RS does; C-FIND returns only what is asked for.
        limit : int, optional
            Most matches; fewer, with `more` set, where they are large. Without it all are returned at once, so use
            pages where they may be many.
        offset : int
            Number of matches to skip.
        after : str, optional
            Only matches after this id: `last` of the page before.

        Returns
        -------
        Matches
            A page of matches.

        Raises
        ------
        Invalid
            A key that can't be matched by its value; `field` is its tag.
        """
        read = read_keys(level, keys, fuzzy=fuzzy, combined=combined_datetime)
        template = ResponseTemplate(level, read.requested, include, defaults=defaults)
        # Long patterns take longer to compile than the event loop may be held.
        meets = await asyncio.to_thread(matcher, read.others, fuzzy=fuzzy) if read.others else matcher({})
        sought = _Search(self._catalog, level, read, template, meets)
        found = await sought.take(None if limit is None else limit + 1, offset, after)
        items = found[:limit]
        return Matches(
            [dataset for _, dataset in items],
            items[-1][0]["id"] if items else None,
            sought.cut or len(found) > len(items),
            tuple(read.ignored),
            [_place(level, entity) for entity, _ in items],
        )


def _place(level: Level, entity: Entity) -> tuple[str, ...]:
    return (*(entity[above.value] for above in level.above if above is not Level.PATIENT), entity["id"])


def _path(level: Level, of: Level, entity: Entity) -> tuple[str, ...]:
    """Return the patient's id and the UIDs that name an entity, or one above it at the level `of`, whatever its id.

    Another arrival may change ids between two queries.
    """
    own = entity["id"] if level is of else entity[of.value]
    return (*(uid_of(entity[above.value]) for above in of.above), uid_of(own))


class _Search:
    """Query under way.

    `meets` tells whether a dataset meets the keys that the catalog does not check. Afterwards, `cut` tells whether the
    page ended early.
    """

    def __init__(
        self,
        catalog: Catalog,
        level: Level,
        keys: Keys,
        template: ResponseTemplate,
        meets: Callable[[Mapping[str, Any]], bool],
    ) -> None:
        self._keys = keys
        self._meets = meets
        self._catalog = catalog
        self._level = level
        self._template = template
        self._conditions: tuple[Condition, ...] = ()
        self._headers = _FIRST_HEADERS
        self._kept = 0
        self.cut = False

    async def take(self, wanted: int | None, offset: int, after: str | None) -> list[tuple[Entity, dict[str, Any]]]:
        """Collect the first `wanted` entities and datasets, or all of them, one page of the catalog at a time."""
        conditions = self._conditions = (*self._keys.conditions, *await self._within())
        scan = bool(self._keys.others)
        found: list[tuple[Entity, dict[str, Any]]] = []
        skip = offset if scan else 0
        offset = 0 if scan else offset
        while True:
            size = self._headers if self._template.needs_header else PAGE + 1
            if wanted is not None and not scan:
                size = min(wanted - len(found), size)
            query = Query(self._level, conditions, (), size, offset, after, counted=False)
            page = await self._catalog.find(query)
            matches = await self._written(page.items)
            found += matches[skip:]
            skip = max(skip - len(matches), 0)
            if len(page.items) < size or (wanted is not None and len(found) >= wanted):
                return found[:wanted]
            if wanted is not None and self._kept >= _PAGE_BYTES and found:
                self.cut = True
                return found
            after, offset = page.items[-1]["id"], 0

    async def _within(self) -> list[Condition]:
        """Translate UIDs of levels below to conditions on ids."""
        made: list[Condition] = []
        for below, uids in self._keys.within.items():
            inside = AnyOf(below.value, tuple(uids))
            page = await self._catalog.find(Query(below, (inside,), (), None, counted=False))
            made.append(AnyOf(self._level.value, tuple(dict.fromkeys(one[self._level.value] for one in page.items))))
        return made

    async def _written(self, items: Sequence[Entity]) -> list[tuple[Entity, dict[str, Any]]]:
        """Make datasets of the entities of a page that meet the other keys."""
        if not items:
            return []
        items, above = await self._with_above(items)
        keys = [item["key"] for item in items]
        samples = await self._catalog.samples(self._level, keys) if self._template.needs_header else {}
        if samples:
            size = sum(len(sample.header) for sample in samples.values()) // len(samples) + 1
            self._headers = max(1, min(_MOST_HEADERS, _HEADER_BYTES // size))
        if not samples and len(items) <= _MANY:
            return self._write(items, above, samples)
        written = await asyncio.to_thread(self._write, items, above, samples)
        self._kept += sum(len(samples[entity["key"]].header) for entity, _ in written if entity["key"] in samples)
        return written

    def _write(
        self,
        items: Sequence[Entity],
        above: Mapping[Level, Mapping[tuple[str, ...], Entity]],
        samples: Mapping[str, DescribedInstance],
    ) -> list[tuple[Entity, dict[str, Any]]]:
        written = []
        for item in items:
            entities = {level: known[_path(self._level, level, item)] for level, known in above.items()}
            entities[self._level] = item
            header = None
            if self._template.needs_header:
                sample = samples.get(item["key"])
                if sample is None:
                    continue
                header = orjson.loads(sample.header)
                header = apply_to_json(header, sample.edits) if sample.edits else header
                if self._level is Level.INSTANCE:
                    header[AVAILABLE_SYNTAX] = available_syntax(sample.transfer_syntax)
            dataset = self._template.write(entities, header)
            if not self._keys.others or self._meets(dataset if header is None else header | dataset):
                written.append((item, dataset))
        return written

    async def _with_above(
        self, items: Sequence[Entity]
    ) -> tuple[Sequence[Entity], dict[Level, dict[tuple[str, ...], Entity]]]:
        """Read the entities above the matches; moved matches are read again, and deleted ones left out."""
        items = await self._count(self._level, items)
        above = await self._above(items)
        for attempt in range(_ATTEMPTS):
            whole = [
                item for item in items if all(_path(self._level, of, item) in known for of, known in above.items())
            ]
            if len(whole) == len(items) or attempt == _ATTEMPTS - 1:
                break
            present = {item["key"] for item in whole}
            parted = AnyOf(self._level.value, tuple(item["key"] for item in items if item["key"] not in present))
            query = Query(self._level, (*self._conditions, parted), (), None, counted=False)
            again = await self._count(self._level, (await self._catalog.find(query)).items)
            for of, known in (await self._above(again)).items():
                above[of] |= known
            items = sorted([*whole, *again], key=lambda item: str(item["id"]))
        return whole, above

    async def _above(self, items: Sequence[Entity]) -> dict[Level, dict[tuple[str, ...], Entity]]:
        """Read the entities above the matches whose attributes the matches show, by path."""
        known = {}
        for level in self._template.levels - {self._level}:
            ids = tuple(dict.fromkeys(item[level.value] for item in items))
            page = await self._catalog.find(Query(level, (AnyOf(level.value, ids),), (), None, counted=False))
            known[level] = {_path(level, level, entity): entity for entity in await self._count(level, page.items)}
        return known

    async def _count(self, level: Level, entities: Sequence[Entity]) -> list[Entity]:
        """Add the attributes that are only counted on request."""
        ids = tuple(entity["key"] for entity in entities)
        if level is Level.STUDY and SOP_CLASSES in self._template.costly:
            classes = await self._catalog.sop_classes(ids)
            return [entity | {"sop_classes": classes.get(entity["key"], [])} for entity in entities]
        if level is Level.PATIENT and PATIENT_SERIES in self._template.costly:
            query = Query(Level.STUDY, (AnyOf("patient", ids),), (), None, counted=False)
            counts: Counter[str] = Counter()
            for study in (await self._catalog.find(query)).items:
                counts[study["patient"]] += study["series_count"]
            return [entity | {"series_count": counts[entity["id"]]} for entity in entities]
        return [*entities]
