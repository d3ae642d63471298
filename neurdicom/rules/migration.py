"""Migration of growing series and of rules' runs that earlier versions wrote, which name series by their UIDs."""

from dataclasses import replace

from neurdicom.catalog.documents import Documents, IndexedDocument
from neurdicom.catalog.key_finder import KeyFinder
from neurdicom.dicom.query.attributes import Level
from neurdicom.rules.growing import GrowingSeries
from neurdicom.rules.rule import KIND as RULE
from neurdicom.rules.runs import KIND as RUNS
from neurdicom.rules.tracker import KIND as GROWING


async def migrate_rules(documents: Documents, finder: KeyFinder) -> int:
    """Bring the documents of growing series and of rules' runs to keys; return how many were changed.

    Parameters
    ----------
    documents : Documents
        Has the documents.
    finder : KeyFinder
        Finds the keys.
    """
    return await _migrate_growing(documents, finder) + await _migrate_runs(documents, finder)


async def _migrate_growing(documents: Documents, finder: KeyFinder) -> int:
    """Move the documents of growing series, which are few, to the keys of these."""
    found = [GrowingSeries.from_document(document) for document in (await documents.query(GROWING)).items]
    keys = await finder.keys(Level.SERIES, [one.series for one in found])
    moved = [one for one in found if one.series in keys]
    for one in moved:
        after = replace(one, series=keys[one.series])
        await documents.put(GROWING, {after.series: IndexedDocument(after.to_document())})
        await documents.delete(GROWING, one.series)
    return len(moved)


async def _migrate_runs(documents: Documents, finder: KeyFinder) -> int:
    count = 0
    for rule in (await documents.query(RULE)).items:
        log = await documents.get(RUNS, rule["id"])
        keys = await finder.keys(Level.SERIES, [run["series"] for run in log["runs"]]) if log else {}
        if log and keys:
            runs = [run | {"series": keys.get(run["series"], run["series"])} for run in log["runs"]]
            await documents.put(RUNS, {rule["id"]: log | {"runs": runs}})
            count += 1
    return count
