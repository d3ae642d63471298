"""Records of results that are set aside while their sources lie in the trash."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

from neurdicom.catalog.documents import DocumentQuery, Documents
from neurdicom.processing.result import KeptResult

#: Kind of the documents: records by place and id, so that no search of results finds them.
KIND = "result_aside"

_PAGE = 200

Records = dict[str, dict[str, Any]]


class ResultsAside:
    """Store of records that are set aside, by the place of the trash."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def put(self, place: str, records: Sequence[KeptResult], changed: Sequence[str]) -> list[str]:
        """Keep records of a place.

        Parameters
        ----------
        place : str
            The place.
        records : sequence of KeptResult
            Results whose sources are there.
        changed : sequence of str
            Ids of results that are not, but DICOM instances that were made of them are.

        Returns
        -------
        list of str
            Keys of the files of earlier records of the same results at this place, which no record has any more: the
            source was there again meanwhile, and the results were computed again before these were brought back.
        """
        kept: Records = {
            f"{place}/{one.id}": {"key": f"{place}/{one.id}", "record": one.to_document()} for one in records
        }
        noted: Records = {f"{place}/{id}": {"key": f"{place}/{id}", "record": None, "id": id} for id in changed}
        if not kept and not noted:
            return []
        present = [await self._documents.get(KIND, key) for key in kept]
        earlier = [KeptResult.from_document(one["record"]) for one in present if one is not None and one["record"]]
        await self._documents.put(KIND, noted | kept)
        return sorted({key for one in earlier for key in one.keys} - {key for one in records for key in one.keys})

    async def pages(self, place: str) -> AsyncIterator[tuple[list[KeptResult], list[str]]]:
        """Yield the records of a place, and the ids of changed results, page by page."""
        query = DocumentQuery(after=f"{place}/", limit=_PAGE, counted=False)
        while found := (await self._documents.query(KIND, query)).items:
            own = [one for one in found if one["key"].startswith(f"{place}/")]
            records = [KeptResult.from_document(one["record"]) for one in own if one["record"] is not None]
            yield records, [one["id"] for one in own if one["record"] is None]
            if len(own) < len(found):
                return
            query = replace(query, after=found[-1]["key"])

    async def places(self, prefix: str) -> list[str]:
        """List the places that begin with a text."""
        found: list[str] = []
        query = DocumentQuery(after=prefix, limit=1, counted=False)
        while (items := (await self._documents.query(KIND, query)).items) and items[0]["key"].startswith(prefix):
            found.append(items[0]["key"].rpartition("/")[0])
            query = replace(query, after=f"{found[-1]}0")  # the character after the slash
        return found

    async def forget(self, place: str, results: Sequence[str]) -> None:
        """Delete the records of some results of a place, and the notes that they changed, by their ids."""
        await self._documents.delete(KIND, *(f"{place}/{result}" for result in results))

    async def delete(self, place: str) -> None:
        """Delete the records of a place."""
        query = DocumentQuery(after=f"{place}/", limit=_PAGE, counted=False)
        while found := (await self._documents.query(KIND, query)).items:
            own = [one["key"] for one in found if one["key"].startswith(f"{place}/")]
            if not own:
                return
            await self._documents.delete(KIND, *own)

    async def files(self) -> set[str]:
        """List the keys of the files of all records that are set aside."""
        keys: set[str] = set()
        query = DocumentQuery(after="", limit=_PAGE, counted=False)
        while found := (await self._documents.query(KIND, query)).items:
            records = [KeptResult.from_document(one["record"]) for one in found if one["record"] is not None]
            keys |= {key for record in records for key in record.keys}
            query = replace(query, after=found[-1]["key"])
        return keys
