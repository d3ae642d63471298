"""Studies that the quota may delete, the one whose last instance arrived longest ago first."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from typing import Final, Protocol

from neurdicom.archive.trash.restored import RestoredStudies
from neurdicom.archive.trash.service import TrashService
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Entity, StudyHolding
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level

#: Studies that are looked at in one step.
_PAGE: Final = 200


class ProtectedStudies(Protocol):
    """Source of the studies that the quota never deletes."""

    async def protected(self, studies: Sequence[Entity]) -> set[str]:
        """Select the keys of protected studies, by the `key` and `patient` of entities."""

    async def protected_studies(self) -> list[str]:
        """List the keys of all protected studies."""


class StudyCandidates:
    """Finder of the studies that may be deleted.

    A restoration from the trash counts as an arrival, so that a study does not go back at once.

    Parameters
    ----------
    catalog : Catalog
        Has the studies.
    labels : ProtectedStudies
        Knows the protected ones.
    trash : TrashService
        Knows what is being restored.
    restored : RestoredStudies
        Knows what was restored.
    """

    def __init__(
        self, catalog: Catalog, labels: ProtectedStudies, trash: TrashService, restored: RestoredStudies
    ) -> None:
        self._catalog = catalog
        self._labels = labels
        self._trash = trash
        self._restored = restored

    async def walk(self) -> AsyncGenerator[StudyHolding, None]:
        """Yield the studies that are not protected, with the time of their last arrival or restoration, in order."""
        restored = await self._restored.times()
        later: list[tuple[str, str, StudyHolding]] = []
        after: StudyHolding | None = None
        while page := await self._catalog.holdings(_PAGE, after):
            after = page[-1]
            protected = await self._protected(page)
            for study in page:
                while later and later[0][0] <= study.received:
                    yield heappop(later)[2]
                if study.study in protected:
                    continue
                since = _since(study, restored)
                if since == study:
                    yield study
                else:
                    heappush(later, (since.received, since.study, since))
        while later:
            yield heappop(later)[2]

    async def may_go(self, study: StudyHolding) -> bool:
        """Tell whether a candidate may still be deleted: no file has arrived since, and it is not protected."""
        for now in await self._catalog.holdings_of([study.study]):
            if _since(now, await self._restored.times()) != study or await self._protected([now]):
                return False
            return not await self._is_being_restored(now)
        return False

    async def is_any_protected(self) -> bool:
        """Tell whether any study is protected."""
        return bool(await self._catalog.holdings_of((await self._labels.protected_studies())[:1]))

    async def forget(self, study: StudyHolding) -> None:
        """Forget the time of restoration of a study that is deleted now."""
        await self._restored.forget(study.study)

    async def _protected(self, studies: Sequence[StudyHolding]) -> set[str]:
        return await self._labels.protected([{"key": one.study, "patient": one.patient} for one in studies])

    async def _is_being_restored(self, study: StudyHolding) -> bool:
        """Tell whether an entry of the trash that belongs to a study is being restored."""
        for entry in await self._trash.being_restored():
            whole = entry.kind == Level.PATIENT.value and entry.patient == study.patient
            if whole or entry.uids.get("study_instance_uid") == uid_of(study.study):
                return True
        return False


def _since(study: StudyHolding, restored: Mapping[str, str]) -> StudyHolding:
    return replace(study, received=max(study.received, restored.get(study.study, "")))
