"""Migration of the documents of earlier versions that name entities: results, jobs, growing series, rules' runs."""

import logging
from collections.abc import Callable

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.key_finder import KeyFinder
from neurdicom.jobs.migration import migrate_jobs
from neurdicom.processing.results_migration import migrate_results
from neurdicom.rules.migration import migrate_rules

log = logging.getLogger(__name__)

_MIGRATIONS = {"results": migrate_results, "jobs and their items": migrate_jobs, "series and runs": migrate_rules}


async def migrate_documents(catalog: Catalog, progress: Callable[[int], None] | None = None) -> list[str]:
    """Bring the documents that name entities by UIDs to keys.

    Documents with keys stay as they are, so that the next call goes on where a killed process stopped. Nothing else may
    use the documents until it has returned.

    Parameters
    ----------
    catalog : Catalog
        Its entities are migrated already.
    progress : callable, optional
        Called with the number of documents that were changed so far.

    Returns
    -------
    list of str
        Sentences about documents of which it can't be told which of several entities they name.
    """
    finder = KeyFinder(catalog)
    count = 0
    for what, migrate in _MIGRATIONS.items():
        changed = await migrate(catalog.documents, finder)
        count += changed
        if changed:
            log.info("%d documents of %s name entities by their keys now", changed, what)
        if progress is not None:
            progress(count)
    return finder.findings
