"""Results and their sources: deleted with them, or set aside with them while they lie in the trash."""

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial

from neurdicom.archive.trash.records import TrashRecords
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.moves import MovedSeries
from neurdicom.catalog.terms import TermCondition
from neurdicom.coordination import RetryQueue
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.processing.result import KeptResult
from neurdicom.processing.result_files import ResultFiles
from neurdicom.processing.result_records import Provenance, ResultRecords
from neurdicom.processing.results_aside import ResultsAside

log = logging.getLogger(__name__)

_PAGE = 500

#: Begin of the places of results whose sources are displaced.
_DISPLACED = "displaced/"


class SourceObserver:
    """Observer of the sources of results, of the DICOM instances that were made of them, and of tools.

    Parameters
    ----------
    catalog : Catalog
        Has the sources.
    records : ResultRecords
        Records of the results.
    files : ResultFiles
        Files of the results.
    changes : asyncio.Lock
        Held by whoever changes records or files.
    retries : RetryQueue
        Does later what a disk or the catalog refuses.
    """

    def __init__(
        self,
        catalog: Catalog,
        records: ResultRecords,
        files: ResultFiles,
        changes: asyncio.Lock,
        retries: RetryQueue,
    ) -> None:
        self._catalog = catalog
        self._records = records
        self._files = files
        self._changes = changes
        self._retries = retries
        self._aside = ResultsAside(catalog.documents)

    async def stored_of(self, name: str, id: str) -> list[str]:
        """List the keys of the DICOM instances made of the results of a source, by one of its keys, or of a tool."""
        found: list[str] = []
        offset = 0
        while True:
            records, total = await self._records.search([TermCondition(name, "=", (id,))], limit=_PAGE, offset=offset)
            found += [one["instance"] for record in records for one in record.stored]
            offset += len(records)
            if not records or offset >= total:
                return found

    # -- deletion --------------------------------------------------------------------------------------------

    async def on_removed(self, level: Level, entity: str) -> None:
        """Delete results whose source, by one of its keys, was deleted or replaced; forget deleted DICOM instances."""
        await self.forget(f"{level} {entity}", [(level.value, entity), ("stored", entity)])

    async def forget(self, what: str, terms: Sequence[tuple[str, str]], place: str = "") -> None:
        """Bring the records that have one of several terms in step with the archive.

        Parameters
        ----------
        what : str
            What was deleted, for the log.
        terms : sequence of (str, str)
            Names and values of terms.
        place : str
            Place of the trash to which results without their sources are set aside; empty to delete them.
        """

        async def look() -> None:
            for name, value in terms:
                await self._look_at(name, value, place)

        if not await self._retries.attempt(f"results of the {what} could not be deleted", look):
            self._files.is_clean = False

    async def _look_at(self, name: str, value: str, place: str) -> None:
        await self._look_at_displaced(name, value, place)
        kept = 0
        while True:
            async with self._changes:
                records, _ = await self._records.search([TermCondition(name, "=", (value,))], limit=_PAGE, offset=kept)
                left = await self.bring_in_step(records, place)
            if not records:
                return
            kept += sum((name, value) in record.terms() for record in left)

    async def _look_at_displaced(self, name: str, value: str, place: str) -> None:
        """Let results whose sources were displaced go with these."""
        async with self._changes:
            for displaced in await self._aside.places(_DISPLACED):
                async for records, _ in self._aside.pages(displaced):
                    named = [record for record in records if (name, value) in record.terms()]
                    await self._let_go(displaced, await self._gone(named), place)

    async def _gone(self, records: Sequence[KeptResult]) -> list[KeptResult]:
        """Select the results whose sources are neither shown nor displaced."""
        provenance = Provenance(self._catalog)
        valid = await provenance.still_valid(records)
        dead = [record for record, is_valid in zip(records, valid, strict=True) if not is_valid]
        return [record for record in dead if not await provenance.is_displaced(record)]

    async def _let_go(self, displaced: str, gone: Sequence[KeptResult], place: str = "") -> None:
        """Set results at a place of displaced ones aside elsewhere, or delete them."""
        if not gone:
            return
        if place:
            await self._set_aside(place, gone)
        await self._aside.forget(displaced, [record.id for record in gone])
        if not place:
            await self._files.remove([key for record in gone for key in record.keys])

    async def bring_in_step(self, records: Sequence[KeptResult], place: str = "") -> list[KeptResult]:
        """Delete records whose sources or tools are gone, and remove deleted DICOM instances from the others.

        Records whose sources are displaced are set aside, and come back when these are shown again.

        Parameters
        ----------
        records : sequence of KeptResult
            The records.
        place : str
            Place of the trash to which results without their sources are set aside; empty to delete them.

        Returns
        -------
        list of KeptResult
            The remaining records, as they are now.
        """
        provenance = Provenance(self._catalog)
        valid = await provenance.still_valid(records)
        dead = [record for record, is_valid in zip(records, valid, strict=True) if not is_valid]
        rest = [record for record, is_valid in zip(records, valid, strict=True) if is_valid]
        left = [
            record if stored == record.stored else replace(record, stored=stored)
            for record, stored in zip(rest, await provenance.stored(rest), strict=True)
        ]
        changed = [after for before, after in zip(rest, left, strict=True) if after is not before]
        if place:
            await self._set_aside(place, dead, [record.id for record in changed])
            await self._records.delete([record.id for record in dead])
        else:
            await self.delete(await self._set_displaced_aside(dead))
        if changed:
            await self._records.put(changed)
        return left

    async def _set_displaced_aside(self, records: Sequence[KeptResult]) -> list[KeptResult]:
        """Set aside the records whose sources are displaced, and return the others."""
        provenance = Provenance(self._catalog)
        displaced = [record for record in records if await provenance.is_displaced(record)]
        for record in displaced:
            await self._set_aside(_place_of_displaced(record.series or ""), [record])
        await self._records.delete([record.id for record in displaced])
        return [record for record in records if record not in displaced]

    async def _set_aside(self, place: str, records: Sequence[KeptResult], changed: Sequence[str] = ()) -> None:
        """Set records aside at a place; of the same result the later record counts there."""
        await self._files.remove(await self._aside.put(place, records, changed))

    async def delete(self, records: Sequence[KeptResult]) -> None:
        """Delete records and their files."""
        if records:
            await self._records.delete([record.id for record in records])
            await self._files.remove([key for record in records for key in record.keys])

    async def sweep(self) -> None:
        """Check all records and files, after a crash."""
        for place in await self._aside.places(_DISPLACED):
            async for records, _ in self._aside.pages(place):
                valid = await Provenance(self._catalog).still_valid(records)
                await self._bring_back(place, [one for one, is_valid in zip(records, valid, strict=True) if is_valid])
                gone = await self._gone(records)
                trash = await self._studies_in_trash() if gone else set()
                lost = [] if None in trash else [one for one in gone if uid_of(one.study or "") not in trash]
                await self._let_go(place, lost)
        dead, keys = 0, set[str]()
        async for records in self._records.all():
            left = await self.bring_in_step(records)
            dead += len(records) - len(left)
            keys |= {key for record in left for key in record.keys}
            await self._records.put(await Provenance(self._catalog).moved(left))
        orphans = await self._files.sweep(keys | await self._aside.files())
        if dead or orphans:
            log.info("%d results whose sources are gone and %d unused files were deleted", dead, orphans)

    async def _studies_in_trash(self) -> set[str | None]:
        """List the UIDs of the studies of which the trash has something; None stands for whole patients."""
        entries, _ = await TrashRecords(self._catalog.documents).page(limit=None)
        return {entry.uids.get("study_instance_uid") for entry in entries}

    # -- the trash -------------------------------------------------------------------------------------------

    async def on_set_aside(self, level: Level, entity: str, place: str) -> None:
        """Set results aside whose source, by one of its keys, lies in the trash.

        Parameters
        ----------
        level : Level
            Level of the source.
        entity : str
            One of its keys.
        place : str
            Place that the results are set aside to.
        """
        await self.forget(f"{level} {entity}", [(level.value, entity), ("stored", entity)], place)

    async def on_brought_back(self, place: str) -> None:
        """Bring back the results at a place whose sources are there again, and delete the others."""
        async with self._changes:
            async for records, changed in self._aside.pages(place):
                await self._bring_back(place, records, changed)

    async def _bring_back(self, place: str, records: Sequence[KeptResult], changed: Sequence[str] = ()) -> None:
        """Bring back results at a place, and bring them and other changed results, by id, in step."""
        present = {record.id: await self._records.find(record.id) for record in records}
        for record in records:  # computed again meanwhile: the newer one stays
            if (newer := present[record.id]) is not None:
                await self._files.remove(sorted(set(record.keys) - set(newer.keys)))
        back = [record for record in records if present[record.id] is None]
        await self._records.put(back)
        known = [await self._records.find(id) for id in changed]
        # Before the next step, which sets aside again at the same place what is displaced still.
        await self._aside.forget(place, [*present, *changed])
        await self.bring_in_step([*back, *(record for record in known if record is not None)])

    async def on_shown_again(self, series: str) -> None:
        """Bring back results of a series, by its key, whose sources were displaced and are shown again."""
        for key in sorted({series, *await self._catalog.keys(Level.SERIES, series)}):
            await self.on_brought_back(_place_of_displaced(key))

    async def on_moved(self, moved: Sequence[MovedSeries]) -> None:
        """Update the places of results whose sources have moved; those of displaced sources are set aside."""
        for one in moved:
            follow = partial(self._follow_all, one)
            if not await self._retries.attempt(f"results of the series {one.key} could not follow it", follow):
                self._files.is_clean = False

    async def _follow_all(self, moved: MovedSeries) -> None:
        """Write anew where the sources of the results of a series lie, by all its keys."""
        keys = {moved.key, moved.series, moved.before[0], *await self._catalog.keys(Level.SERIES, moved.series)}
        for key in sorted(keys):
            await self.on_brought_back(_place_of_displaced(key))
        for key in sorted(keys):
            await self._follow(key)

    async def _follow(self, series: str) -> None:
        """Update the places of the results of a series, by one of its keys.

        Results of sources that are gone, and not displaced, are left to whoever deletes or replaces these just now.
        """
        found = 0
        while True:
            async with self._changes:
                term = TermCondition(Level.SERIES.value, "=", (series,))
                records, _ = await self._records.search([term], limit=_PAGE, offset=found)
                provenance = Provenance(self._catalog)
                valid = await provenance.still_valid(records)
                dead = [record for record, is_valid in zip(records, valid, strict=True) if not is_valid]
                deleted = await self._set_displaced_aside(dead)
                left = await self.bring_in_step([record for record in records if record not in dead])
                placed = [await provenance.placed(record) for record in left]
                after = [record for record in placed if record is not None]
                await self._records.put(after)
            if not records:
                return
            found += len(deleted) + sum(record.series == series for record in after)

    async def on_discarded(self, place: str) -> None:
        """Delete the results at a place. Raises `OSError`, `Unavailable`."""
        await self._retries.catch_up()  # what belongs there may not have been set aside yet
        async with self._changes:
            async for records, _ in self._aside.pages(place):
                await self._files.remove([key for record in records for key in record.keys])
            await self._aside.delete(place)

    async def on_recovered(self, places: Collection[str]) -> None:
        """Delete results at places of the trash that no entry has.

        Parameters
        ----------
        places : collection of str
            Places of all entries.
        """
        for place in await self._aside.places(""):
            if not place.startswith(_DISPLACED) and place not in places:
                log.warning("results at %s, which no entry of the trash has, are deleted", place)
                await self.on_discarded(place)


def _place_of_displaced(series: str) -> str:
    """Make the name of the place for results of displaced sources, by a key of their series."""
    return f"{_DISPLACED}{series}"
