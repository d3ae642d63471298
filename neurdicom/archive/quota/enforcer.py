"""One pass of the quota: studies that are too old go to the trash, then the oldest ones until the size is kept."""

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Final, Protocol

from neurdicom.archive.quota.candidates import StudyCandidates
from neurdicom.archive.quota.limits import MIB, QuotaLimits
from neurdicom.archive.quota.meter import QuotaMeter
from neurdicom.archive.remove import RemoveService
from neurdicom.archive.trash.entry import TrashState
from neurdicom.archive.trash.service import Deletion, TrashService
from neurdicom.catalog.records import StudyHolding
from neurdicom.coordination import BackgroundTasks
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Conflict, NotFound

log = logging.getLogger(__name__)

#: Reasons of what the quota deletes.
OVER_STORAGE: Final = "over max_storage"
TOO_OLD: Final = "older than max_age_days"

#: Seconds after an arrival for which a study is deleted only if nothing else is there.
RECENT_SECONDS: Final = 300.0

#: Most seconds after an arrival for which a study is taken to be on its way, and stays.
ARRIVING_SECONDS: Final = 10.0

#: Entries of the trash that are emptied in one step.
_AT_ONCE: Final = 100


class StudyUse(Protocol):
    """Source of the studies that jobs need."""

    async def is_used(self, study: StudyHolding) -> bool:
        """Tell whether an unfinished job is to work on a study."""


class QuotaOutcome(Enum):
    """Outcome of a pass."""

    WITHIN = auto()  # the limits are kept
    DELAYED = auto()  # a backup holds deletions, or what is left is being restored
    ARRIVING = auto()  # what is left is protected, or on its way
    PROTECTED = auto()  # all that is left is protected


class QuotaEnforcer:
    """Enforcer of the limits, which moves studies to the trash and empties it.

    Parameters
    ----------
    limits : QuotaLimits
        The limits.
    meter : QuotaMeter
        Measures what is used.
    candidates : StudyCandidates
        Finds the studies that may be deleted.
    use : StudyUse
        Knows those that are deleted only if nothing else is there.
    trash : TrashService
        Is emptied first.
    remove : RemoveService
        Moves studies to the trash.
    stable_seconds : float
        Seconds without a new instance after which a series is stable; if fewer than `ARRIVING_SECONDS`, they count.
    """

    def __init__(
        self,
        limits: QuotaLimits,
        meter: QuotaMeter,
        candidates: StudyCandidates,
        use: StudyUse,
        trash: TrashService,
        remove: RemoveService,
        stable_seconds: float,
    ) -> None:
        self._limits = limits
        self._meter = meter
        self._candidates = candidates
        self._use = use
        self._trash = trash
        self._remove = remove
        self._arriving = min(stable_seconds, ARRIVING_SECONDS)
        self._steps = BackgroundTasks()

    async def close(self) -> None:
        """Wait for the end of a step that a cancelled pass has begun. Idempotent."""
        await self._steps.drain()

    async def run(self, may_go_on: Callable[[], Awaitable[bool]]) -> QuotaOutcome:
        """Run a pass.

        Parameters
        ----------
        may_go_on : callable
            Called before each step; False ends the pass.
        """
        if not await may_go_on():
            return QuotaOutcome.DELAYED
        if self._limits.seconds:
            await self._take_old(may_go_on)
        return await self._make_room(may_go_on) if self._limits.bytes else QuotaOutcome.WITHIN

    async def _take_old(self, may_go_on: Callable[[], Awaitable[bool]]) -> None:
        async with aclosing(self._candidates.walk()) as studies:
            async for study in studies:
                if study.received > ago(self._limits.seconds) or not await may_go_on():
                    return
                if not await self._use.is_used(study):
                    await self._take(study, TOO_OLD)

    async def _make_room(self, may_go_on: Callable[[], Awaitable[bool]]) -> QuotaOutcome:
        async with aclosing(self._removable()) as studies:
            while (over := await self._meter.used() - self._limits.bytes) > 0:
                if not await may_go_on():
                    return QuotaOutcome.DELAYED
                if await self._empty(over, may_go_on):
                    continue
                study = await anext(studies, None)
                if study is None:
                    return await self._why_not()
                await self._take(study, OVER_STORAGE)
        return QuotaOutcome.WITHIN

    async def _why_not(self) -> QuotaOutcome:
        """Find the reason why nothing more can be deleted."""
        async with aclosing(self._candidates.walk()) as studies:
            if await anext(studies, None) is not None:
                return QuotaOutcome.ARRIVING
        return QuotaOutcome.PROTECTED if await self._candidates.is_any_protected() else QuotaOutcome.DELAYED

    async def _removable(self) -> AsyncGenerator[StudyHolding, None]:
        """Yield the studies that may be deleted: the idle ones, then the recent ones, at last those in use."""
        for seconds, takes_used in ((RECENT_SECONDS, False), (self._arriving, False), (self._arriving, True)):
            async with aclosing(self._candidates.walk()) as studies:
                async for study in studies:
                    if study.received > ago(seconds):
                        break
                    if takes_used or not await self._use.is_used(study):
                        yield study

    async def _empty(self, over: int, may_go_on: Callable[[], Awaitable[bool]]) -> bool:
        """Empty the oldest entries of the trash, as far as is needed; return whether there were any.

        What is used is not added up meanwhile: that takes the longer the more lies in the trash.
        """
        found = False
        while over > 0 and await may_go_on():
            freed = await self._empty_some(over)
            if freed is None:
                break
            found, over = True, over - freed
        return found

    async def _empty_some(self, over: int) -> int | None:
        """Empty some of the oldest entries; return how many bytes they had, None if there were none."""
        freed: int | None = None
        for entry in await self._trash.oldest(_AT_ONCE):
            if freed is not None and freed >= over:
                break
            if entry.state is not TrashState.KEPT:
                continue
            try:
                await self._steps.complete(self._trash.empty(entry.id))
            except (NotFound, Conflict) as error:  # another request deletes or restores it
                log.info("the entry %s of the trash is not emptied now: %s", entry.id, error)
                continue
            log.info("the entry %s of the trash was deleted, since the archive is %s", entry.id, OVER_STORAGE)
            freed = (freed or 0) + entry.bytes
        return freed

    async def _take(self, study: StudyHolding, reason: str) -> None:
        """Move a study to the trash, unless it has changed since it was found."""
        if not await self._candidates.may_go(study):
            return
        try:
            await self._steps.complete(self._remove.delete(Level.STUDY, study.study, Deletion(reason=reason)))
        except NotFound:  # another request has deleted it
            return
        await self._candidates.forget(study)
        log.info("the study %s (%.1f MiB) was deleted: %s", study.study, study.bytes / MIB, reason)


def ago(seconds: float) -> str:
    """Write a time in the past as catalogs have times of arrival: ISO 8601 in UTC, to the microsecond."""
    return datetime.fromtimestamp(time.time() - seconds, UTC).isoformat(timespec="microseconds")
