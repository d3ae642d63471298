"""Matches of a query that contain what its keys on levels below describe."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from neurdicom.archive.query_order import page_query
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import DescribedInstance, Entity
from neurdicom.dicom.edits.apply import apply_to_json
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf
from neurdicom.dicom.query.keys import Keys

#: Entities of the level below that are read at a time, and headers of them.
_PAGE, _HEADERS = 1000, 100

Meets = Callable[[Mapping[str, Any]], bool]


def path_of(level: Level, of: Level, entity: Entity) -> tuple[str, ...]:
    """Return the patient's id and the UIDs that name an entity, or one above it at the level `of`, whatever its id.

    Another arrival may change ids between two queries.

    Parameters
    ----------
    level : Level
        Level of the entity.
    of : Level
        That level, or one above it.
    entity : Entity
        The entity.
    """
    own = entity["id"] if level is of else entity[of.value]
    return (*(uid_of(entity[above.value]) for above in of.above), uid_of(own))


def read_header(sample: DescribedInstance) -> dict[str, Any]:
    """Read the header of an instance, edits applied."""
    header: dict[str, Any] = orjson.loads(sample.header)
    return apply_to_json(header, sample.edits) if sample.edits else header


async def samples_below(
    catalog: Catalog, level: Level, keys: Keys, meets: Meets, items: Sequence[Entity]
) -> dict[str, DescribedInstance]:
    """Find what the keys on levels below describe in each of several entities.

    Parameters
    ----------
    catalog : Catalog
        The catalog.
    level : Level
        Level of the entities.
    keys : Keys
        The keys of the query, some of them on levels below.
    meets : callable
        Tells whether a header meets those of them.
    items : sequence of Entity
        The entities.

    Returns
    -------
    dict[str, DescribedInstance]
        Key of an entity to the first instance in it that all of the keys describe, or their series; those without one
        are left out.
    """
    below = keys.lowest
    if below is None:
        return {}
    wanted = {path_of(level, level, item): item["key"] for item in items}
    inside = (*keys.conditions_below, AnyOf(level.value, tuple(wanted.values())))
    found: dict[str, DescribedInstance] = {}
    after = None
    while True:
        page = (await catalog.find(page_query(below, inside, limit=_PAGE, offset=0, after=after))).items
        waiting = [one for one in page if wanted.get(path_of(below, level, one), "") not in {*found, ""}]
        size = _HEADERS if keys.others_below else _PAGE
        while waiting:
            some, waiting = waiting[:size], waiting[size:]
            if not keys.others_below:  # the first of each
                some = [*{path_of(below, level, one): one for one in reversed(some)}.values()]
            samples = await catalog.samples(below, [one["key"] for one in some])
            # What the catalog has found needs no other test.
            chosen = await asyncio.to_thread(fitting, samples, meets) if keys.others_below else {*samples}
            for one in some:
                if one["key"] in chosen:
                    found.setdefault(wanted[path_of(below, level, one)], samples[one["key"]])
            waiting = [one for one in waiting if wanted[path_of(below, level, one)] not in found]
        if len(page) < _PAGE or len(found) == len(wanted):
            return found
        after = page[-1]["id"]


def fitting(samples: Mapping[str, DescribedInstance], meets: Meets) -> set[str]:
    """List the keys of the entities whose sample meets keys of a query."""
    return {key for key, sample in samples.items() if meets(read_header(sample))}
