"""Contract suite of the catalog's ports, which an adapter runs by a subclass of a few lines.

>>> class TestMine(CatalogContract):
...     async def open_catalog(self): ...
...     async def reopen(self, catalog): ...
...     async def backend_blobs(self, catalog): ...
...     async def backend_documents(self, catalog, kind, key, document): ...

`ArchiveContract` and `DocumentContract` are the suites of one port each.
"""

import asyncio

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import MigrationProgress
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Query
from neurdicom.errors import Unavailable
from neurdicom.testing.arrivals import arrival, arrival_of, place_of
from neurdicom.testing.catalog_attributes import AttributeContract
from neurdicom.testing.catalog_described import DescribedContract
from neurdicom.testing.catalog_displaced import DisplacedContract
from neurdicom.testing.catalog_editing import EditingContract
from neurdicom.testing.catalog_following import FollowingContract
from neurdicom.testing.catalog_fusing import FusingContract
from neurdicom.testing.catalog_holdings import HoldingContract
from neurdicom.testing.catalog_identity import IdentityContract
from neurdicom.testing.catalog_labels import LabelContract
from neurdicom.testing.catalog_moves import MoveContract
from neurdicom.testing.catalog_places import PlaceContract
from neurdicom.testing.catalog_queries import QueryContract
from neurdicom.testing.catalog_storing import StoringContract
from neurdicom.testing.catalog_taken import TakenMoveContract
from neurdicom.testing.document_queries import DocumentQueryContract
from neurdicom.testing.document_terms import TermContract
from neurdicom.testing.document_verbs import DocumentVerbContract


class ArchiveContract(
    StoringContract,
    PlaceContract,
    IdentityContract,
    AttributeContract,
    EditingContract,
    QueryContract,
    DescribedContract,
    MoveContract,
    FusingContract,
    DisplacedContract,
    FollowingContract,
    TakenMoveContract,
    HoldingContract,
    LabelContract,
):
    """Contract suite of the archive port (`catalog.base.Catalog`)."""


class DocumentContract(DocumentVerbContract, DocumentQueryContract, TermContract):
    """Contract suite of the document port (`catalog.documents.Documents`)."""


class CatalogContract(ArchiveContract, DocumentContract):
    """Contract suite of both ports together: opening, reopening and closing."""

    def test_everything_is_there_after_a_reopening(self) -> None:
        async def go() -> None:
            catalog = await self.open_catalog()
            await catalog.store([arrival(1), arrival(2)])
            await catalog.edit(Level.PATIENT, "p1", {"patient_name": "ROE"}, user="u", time="t")
            await catalog.documents.put("user", {"a": {"name": "A"}})
            await catalog.delete(Level.INSTANCE, "1.9.1")
            await catalog.close()
            await catalog.close()
            async with self.opened(await self.reopen(catalog)) as again:
                study = await again.get(Level.STUDY, "1.2.1")
                assert study is not None
                assert (study["patient_name"], study["images_count"]) == ("ROE", 1)
                assert await again.garbage() == {"blob-1-sha-1": ""}
                assert await again.documents.get("user", "a") == {"name": "A"}

        asyncio.run(go())

    def test_ids_and_claims_are_the_same_after_a_reopening(self) -> None:
        async def go() -> None:
            catalog = await self.open_catalog()
            files = [arrival_of(1), arrival_of(2, "A"), arrival_of(3, "B", instance="1.9.1")]
            await catalog.store(files)
            await catalog.delete(Level.INSTANCE, place_of(files[1]).instance)
            found = [await catalog.find(Query(level)) for level in Level], await catalog.conflicts()
            await catalog.close()
            async with self.opened(await self.reopen(catalog)) as again:
                assert ([await again.find(Query(level)) for level in Level], await again.conflicts()) == found
                keys = await again.keys(Level.STUDY, place_of(files[0]).study)
                assert set(keys) == {place_of(new).study for new in files[:2]}
                [outcome] = await again.store([arrival_of(4, "A", "X")])
                assert outcome.place is not None
                after = await again.keys(Level.STUDY, place_of(files[0]).study)
                assert (after[0], set(after[1:])) == (outcome.place.study, set(keys))

        asyncio.run(go())

    def test_a_new_catalog_needs_no_migration(self) -> None:
        async def test(catalog: Catalog) -> None:
            for _ in range(2):
                assert not await catalog.needs_migration()
                seen: list[MigrationProgress] = []
                await catalog.migrate(seen.append)
                assert [(one.total - one.done, one.findings) for one in seen[-1:]] in ([], [(0, ())])
                await catalog.store([arrival(1)])
            assert (await catalog.find(Query(Level.INSTANCE))).total == 1

        self.run(test)

    def test_a_closed_catalog_says_so(self) -> None:
        async def go() -> None:
            catalog = await self.open_catalog()
            await catalog.close()
            try:
                await catalog.get(Level.STUDY, "1")
            except Unavailable:
                return
            raise AssertionError("a closed catalog answered")

        asyncio.run(go())
