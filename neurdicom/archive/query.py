"""DICOM queries over the catalog, for C-FIND and QIDO-RS (PS3.4 C.2.2 and C.6, PS3.18 10.6)."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from neurdicom.archive.available_syntax import AVAILABLE_SYNTAX, available_syntax
from neurdicom.archive.query_below import fitting, path_of, read_header, samples_below
from neurdicom.archive.query_order import in_order, page_query, position
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import DescribedInstance, Entity
from neurdicom.dicom.codec.transfer_syntaxes import VIDEO_MEDIA_TYPES
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Condition, Contains, Query
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
    """Page of the matches of a query: the newest studies first, other levels in the order of their ids.

    Attributes
    ----------
    items : list of dict
        Datasets in the DICOM JSON model, without SpecificCharacterSet (they are Unicode) and RetrieveURL.
    last : str or None
        Position of the last one, for the `after` of the next page; None without items.
    more : bool
        Whether there are others after it.
    remarks : dict of str to str
        Tags of matching keys that are not supported or mean nothing, to what was done about them.
    places : list of tuple of str
        Ids of each match and of the entities above it, its study's first: those that a URL names it by.
    """

    items: list[dict[str, Any]]
    last: str | None
    more: bool
    remarks: Mapping[str, str] = field(default_factory=dict)
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
            Keys of levels above are matched too, and keys of levels below by what the entities contain: what all of
            those describe. A value that means nothing, such as of a date, is left out of account.
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
            Only matches after this position: `last` of the page before.

        Returns
        -------
        Matches
            A page of matches.
        """
        read = read_keys(level, keys, fuzzy=fuzzy, combined=combined_datetime)
        template = ResponseTemplate(level, read.requested, include, defaults=defaults)
        # Long patterns take longer to compile than the event loop may be held.
        compiled = [
            await asyncio.to_thread(matcher, tests, fuzzy=fuzzy, remarks=read.remarks) if tests else matcher({})
            for tests in (read.others, read.all_below)
        ]
        sought = _Search(self._catalog, level, read, template, *compiled)
        found = await sought.take(None if limit is None else limit + 1, offset, after)
        items = found[:limit]
        return Matches(
            [dataset for _, dataset in items],
            position(level, items[-1][0]) if items else None,
            sought.cut or len(found) > len(items),
            read.remarks,
            [_place(level, entity) for entity, _ in items],
        )


def _place(level: Level, entity: Entity) -> tuple[str, ...]:
    return (*(entity[above.value] for above in level.above if above is not Level.PATIENT), entity["id"])


class _Search:
    """Query under way.

    `meets` and `meets_below` tell whether a dataset meets the keys that the catalog does not check, on levels above and
    its own, and on those below. Afterwards, `cut` tells whether the page ended early.
    """

    def __init__(
        self,
        catalog: Catalog,
        level: Level,
        keys: Keys,
        template: ResponseTemplate,
        meets: Callable[[Mapping[str, Any]], bool],
        meets_below: Callable[[Mapping[str, Any]], bool],
    ) -> None:
        self._keys = keys
        self._meets = meets
        self._meets_below = meets_below
        self._catalog = catalog
        self._level = level
        self._template = template
        self._conditions: tuple[Condition, ...] = ()
        self._headers = _FIRST_HEADERS
        self._kept = 0
        self.cut = False

    async def take(self, wanted: int | None, offset: int, after: str | None) -> list[tuple[Entity, dict[str, Any]]]:
        """Collect the first `wanted` entities and datasets, or all of them, one page of the catalog at a time."""
        keys = self._keys
        inside = (Contains(keys.lowest, keys.conditions_below),) if keys.lowest and keys.below else ()
        conditions = self._conditions = (*keys.conditions, *inside)
        scan = bool(keys.others or keys.others_below)
        found: list[tuple[Entity, dict[str, Any]]] = []
        skip = offset if scan else 0
        offset = 0 if scan else offset
        while True:
            size = self._headers if self._template.needs_header else PAGE + 1
            if wanted is not None and not scan:
                size = min(wanted - len(found), size)
            query = page_query(self._level, conditions, limit=size, offset=offset, after=after)
            page = await self._catalog.find(query)
            matches = await self._written(page.items)
            found += matches[skip:]
            skip = max(skip - len(matches), 0)
            if len(page.items) < size or (wanted is not None and len(found) >= wanted):
                return found[:wanted]
            if wanted is not None and self._kept >= _PAGE_BYTES and found:
                self.cut = True
                return found
            after, offset = position(self._level, page.items[-1]), 0

    async def _written(self, items: Sequence[Entity]) -> list[tuple[Entity, dict[str, Any]]]:
        """Make datasets of the entities of a page that meet the other keys."""
        if not items:
            return []
        items, above = await self._with_above(items)
        keys = [item["key"] for item in items]
        samples = await self._catalog.samples(self._level, keys) if self._template.needs_header else {}
        inside = await self._below(items, samples)
        if self._keys.others_below:
            items = [item for item in items if item["key"] in inside]
        if samples:
            size = sum(len(sample.header) for sample in samples.values()) // len(samples) + 1
            self._headers = max(1, min(_MOST_HEADERS, _HEADER_BYTES // size))
        if not samples and len(items) <= _MANY:
            return self._write(items, above, samples, inside)
        written = await asyncio.to_thread(self._write, items, above, samples, inside)
        self._kept += sum(len(samples[entity["key"]].header) for entity, _ in written if entity["key"] in samples)
        return written

    async def _below(
        self, items: Sequence[Entity], samples: Mapping[str, DescribedInstance]
    ) -> dict[str, DescribedInstance]:
        """Find an instance in each entity that the keys on levels below describe; most often it is the earliest."""
        if self._keys.lowest is None or not samples:
            return {}
        found = await asyncio.to_thread(fitting, samples, self._meets_below)
        rest = [item for item in items if item["key"] not in found]
        more = await samples_below(self._catalog, self._level, self._keys, self._meets_below, rest) if rest else {}
        return {key: samples[key] for key in found} | more

    def _write(
        self,
        items: Sequence[Entity],
        above: Mapping[Level, Mapping[tuple[str, ...], Entity]],
        samples: Mapping[str, DescribedInstance],
        inside: Mapping[str, DescribedInstance],
    ) -> list[tuple[Entity, dict[str, Any]]]:
        written = []
        for item in items:
            entities = {level: known[path_of(self._level, level, item)] for level, known in above.items()}
            entities[self._level] = item
            header = None
            if self._template.needs_header:
                sample = samples.get(item["key"])
                if sample is None:
                    continue
                header = read_header(sample)
                # What can be converted comes in others, too; wsidicom would take the stored one for the only one.
                if self._level is Level.INSTANCE and sample.transfer_syntax in VIDEO_MEDIA_TYPES:
                    header[AVAILABLE_SYNTAX] = available_syntax(sample.transfer_syntax)
            dataset = self._template.write(entities, header)
            if not self._keys.others or self._meets(dataset if header is None else header | dataset):
                shown = inside.get(item["key"])
                if shown is not None and shown is not samples.get(item["key"]):
                    dataset = self._template.write(entities, read_header(shown))
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
                item for item in items if all(path_of(self._level, of, item) in known for of, known in above.items())
            ]
            if len(whole) == len(items) or attempt == _ATTEMPTS - 1:
                break
            present = {item["key"] for item in whole}
            parted = AnyOf(self._level.value, tuple(item["key"] for item in items if item["key"] not in present))
            query = Query(self._level, (*self._conditions, parted), (), None, counted=False)
            again = await self._count(self._level, (await self._catalog.find(query)).items)
            for of, known in (await self._above(again)).items():
                above[of] |= known
            items = in_order(self._level, [*whole, *again])
        return whole, above

    async def _above(self, items: Sequence[Entity]) -> dict[Level, dict[tuple[str, ...], Entity]]:
        """Read the entities above the matches whose attributes the matches show, by path."""
        known = {}
        for level in self._template.levels - {self._level}:
            ids = tuple(dict.fromkeys(item[level.value] for item in items))
            page = await self._catalog.find(Query(level, (AnyOf(level.value, ids),), (), None, counted=False))
            known[level] = {path_of(level, level, entity): entity for entity in await self._count(level, page.items)}
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
