"""Migration of the records of results that earlier versions wrote, which name entities by their UIDs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from neurdicom.catalog.documents import DocumentQuery, Documents, IndexedDocument
from neurdicom.catalog.key_finder import File, KeyFinder
from neurdicom.dicom.identity import Place, is_key
from neurdicom.dicom.query.attributes import Level
from neurdicom.processing.result import KeptResult
from neurdicom.processing.result_records import DOCUMENTS

#: Records of one page, of which each may have hundreds of sources.
_PAGE: Final = 100


async def migrate_results(documents: Documents, finder: KeyFinder) -> int:
    """Bring all records of results to keys, a page at a time; return how many were changed.

    A record of entities that are gone stays as it is, and is deleted with the other results of lost sources.

    Parameters
    ----------
    documents : Documents
        Has the records.
    finder : KeyFinder
        Finds the keys.
    """
    pages = DocumentQuery(after="", limit=_PAGE, counted=False)
    count = 0
    while found := (await documents.query(DOCUMENTS, pages)).items:
        pages = replace(pages, after=found[-1]["id"])
        records = [record for document in found if not _is_migrated(record := KeptResult.from_document(document))]
        if not records:
            continue
        sources = [(uid, digest) for record in records for uid, digest in record.sources]
        made = [uid for record in records for uid in (*record.made, *(one["instance"] for one in record.stored))]
        places = await finder.places([*sources, *((uid, None) for uid in made)])
        series = await finder.keys(Level.SERIES, {one.entity for one in records if one.level == Level.SERIES.value})
        changed = [after for one in records if (after := _by_key(one, places, series)) != one]
        if changed:
            await documents.put(DOCUMENTS, {one.id: IndexedDocument(one.to_document(), one.terms()) for one in changed})
        count += len(changed)
    return count


def _is_migrated(record: KeptResult) -> bool:
    stored = [uid for one in record.stored for uid in one.values()]
    return all(map(is_key, (record.entity, *record.instances, *stored, *record.made)))


def _by_key(record: KeptResult, places: Mapping[File, Place], series: Mapping[str, str]) -> KeptResult:
    """Copy a record with keys, as far as they are known."""
    first = places.get((record.sources[0][0], record.sources[0][1]))
    entity = series.get(record.entity, record.entity)
    if first is not None:
        record = replace(record, patient=first.patient, study=first.study, series=first.series)
        entity = first.series if record.level == Level.SERIES.value else first.instance
    return replace(
        record,
        entity=entity,
        sources=[[_instance((uid, digest), places), digest] for uid, digest in record.sources],
        stored=[
            {"instance": place.instance, "series": place.series, "study": place.study}
            if (place := places.get((one["instance"], None))) is not None
            else one
            for one in record.stored
        ],
        made=[_instance((uid, None), places) for uid in record.made],
    )


def _instance(file: File, places: Mapping[File, Place]) -> str:
    place = places.get(file)
    return file[0] if place is None else place.instance
