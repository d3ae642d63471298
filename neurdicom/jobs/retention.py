"""How long jobs that are over are remembered."""

import time

from neurdicom.jobs.job import made_at
from neurdicom.jobs.store import JobStore

#: How long their records are kept, and how many in all.
KEEP_SECONDS = 30 * 86400.0
KEEP_RECORDS = 10_000


async def purge(store: JobStore) -> None:
    """Forget the oldest jobs that are over."""
    kept = 0
    while True:
        page, total = await store.list({}, limit=100, offset=kept, newest_first=False)
        for job in page:
            too_old = time.time() - made_at(job.id) > KEEP_SECONDS
            if job.is_over and (too_old or total > KEEP_RECORDS):
                await store.remove(job.id)
                total -= 1
            elif not too_old and total <= KEEP_RECORDS:
                return
            else:
                kept += 1
        if not page:
            return
