"""One pass of the quota over a large trash."""

import asyncio
from pathlib import Path

from neurdicom.archive.garbage import GarbageCollector
from neurdicom.archive.labels.service import LabelService
from neurdicom.archive.quota.candidates import StudyCandidates
from neurdicom.archive.quota.enforcer import QuotaEnforcer, QuotaOutcome
from neurdicom.archive.quota.limits import MIB, QuotaLimits
from neurdicom.archive.quota.meter import QuotaMeter
from neurdicom.archive.remove import RemoveService
from neurdicom.archive.trash.entry import TrashEntry, TrashState
from neurdicom.archive.trash.records import TrashRecords
from neurdicom.archive.trash.restored import RestoredStudies
from neurdicom.archive.trash.service import TrashService
from neurdicom.catalog.records import StudyHolding
from tests.support.archive import archive
from tests.support.no_results import NoResults


class NoJobs:
    """No job needs a study."""

    async def is_used(self, study: StudyHolding) -> bool:
        return False


def test_a_large_trash_is_added_up_before_it_is_emptied_and_after(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            catalog, garbage = stored.catalog, GarbageCollector(stored.catalog, stored.blobs)
            observer = NoResults(has_trash=True)
            trash = TrashService(catalog, stored.blobs, garbage, observer, stored.guard, stored.checker, 30.0)
            labels = LabelService(catalog)
            candidates = StudyCandidates(catalog, labels, trash, RestoredStudies(catalog))
            meter = QuotaMeter(catalog, trash, labels)
            remove = RemoveService(catalog, garbage, trash, observer)
            enforcer = QuotaEnforcer(QuotaLimits(max_storage=40.0), meter, candidates, NoJobs(), trash, remove, 1.0)
            entries = [
                TrashEntry(
                    id=f"{number:032x}", kind="study", state=state, entity=f"1.2.{number}~a", bytes=MIB // 10, time="t"
                )
                for number, state in enumerate([TrashState.RESTORING] + [TrashState.KEPT] * 899)
            ]
            await TrashRecords(catalog.documents).put(*entries)
            sums: list[str] = []
            add_up = catalog.documents.sum

            async def noted(kind: str, member: str) -> int:
                sums.append(kind)
                return await add_up(kind, member)

            catalog.documents.sum = noted  # type: ignore[method-assign]

            async def may_go_on() -> bool:
                return True

            assert await enforcer.run(may_go_on) is QuotaOutcome.WITHIN
            left, _ = await trash.page(limit=1000)
            assert [entry.id for entry in reversed(left)] == [entry.id for entry in [entries[0], *entries[-399:]]]
            assert len(sums) == 2
            await trash.close()

    asyncio.run(test())
