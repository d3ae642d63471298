"""Whether what a result came of is still there."""

from collections.abc import Sequence
from dataclasses import dataclass

from neurdicom.catalog.base import Catalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.processing.results.record import Record

#: Instances asked for at a time.
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """Ids of what an instance lies in."""

    patient: str
    study: str
    series: str


class Liveness:
    """Looks at the sources and the tools of records; remembers what it saw, so make one for each look."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._tools: dict[tuple[str, str], bool] = {}
        self._patients: dict[str, str | None] = {}

    async def living(self, records: Sequence[Record]) -> list[bool]:
        """For each: all of its sources are there with the same bytes, and so is the tool, in whatever version."""
        digests = await self._digests({instance for record in records for instance in record.instances})
        return [
            all(digests.get(instance) == sha256 for instance, sha256 in record.sources) and await self._has_tool(record)
            for record in records
        ]

    async def stored(self, records: Sequence[Record]) -> list[list[dict[str, str]]]:
        """For each: those of the DICOM instances made of it that are there."""
        present = await self._digests({uid for record in records for uid in (*_stored(record), *record.made)})
        found = []
        for record in records:
            unnoted = [uid for uid in record.made if uid in present and uid not in _stored(record)]
            known = [one for one in record.stored if one["instance"] in present]
            found.append(known + await located(self._catalog, unnoted))
        return found

    async def place(self, record: Record) -> Place | None:
        """What the first source lies in; None if it is gone."""
        location = await self._catalog.locate(record.sources[0][0])
        if location is None:
            return None
        if location.study not in self._patients:
            study = await self._catalog.get(Level.STUDY, location.study)
            self._patients[location.study] = study["patient"] if study else None
        patient = self._patients[location.study]
        return None if patient is None else Place(patient, location.study, location.series)

    async def _digests(self, instances: set[str]) -> dict[str, str]:
        wanted, found = sorted(instances), dict[str, str]()
        for start in range(0, len(wanted), _AT_ONCE):
            found |= await self._catalog.digests(wanted[start : start + _AT_ONCE])
        return found

    async def _has_tool(self, record: Record) -> bool:
        tools = [(record.tool_type, record.tool), *(("model", model) for model in record.uses)]
        for kind, tool in tools:
            if (kind, tool) not in self._tools:
                self._tools[kind, tool] = await self._catalog.get_document(kind, tool) is not None
        return all(self._tools[each] for each in tools)


def _stored(record: Record) -> set[str]:
    return {one["instance"] for one in record.stored}


async def located(catalog: Catalog, instances: Sequence[str]) -> list[dict[str, str]]:
    """Instances as `Record.stored` has them, without those that are not there."""
    locations = [await catalog.locate(instance) for instance in instances]
    return [
        {"instance": location.instance, "series": location.series, "study": location.study}
        for location in locations
        if location is not None
    ]
