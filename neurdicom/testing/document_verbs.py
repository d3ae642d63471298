"""Contract suite of the document port: single documents, by kind and key."""

import asyncio

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.documents import DocumentQuery, Documents, IndexedDocument
from neurdicom.testing.catalog_suite import CatalogSuite


class DocumentVerbContract(CatalogSuite):
    """Tests of getting, putting, adding, swapping and deleting."""

    def test_documents(self) -> None:
        async def test(catalog: Catalog) -> None:
            documents = catalog.documents
            assert await documents.add("user", "b", {"on": True, "n": 1, "deep": {"a.b": [1, None, "é$"]}})
            assert not await documents.add("user", "b", {"on": False})
            await documents.put("user", {"a": {"on": 1, "n": 1}})
            await documents.put("plugin", {"a": {"$set": "kept"}})
            await self.backend_documents(catalog, "user", "c", {"on": False, "n": 1, "name": "c"})
            assert await documents.get("plugin", "a") == {"$set": "kept"}
            assert await documents.get("user", "c") == {"on": False, "n": 1, "name": "c"}
            numbered = await documents.query("user", DocumentQuery({"n": 1}))
            assert ([d["on"] for d in numbered.items], numbered.total) == ([1, True, False], 3)
            assert (await documents.query("user", DocumentQuery({"on": True}))).items == [
                {"on": True, "n": 1, "deep": {"a.b": [1, None, "é$"]}}
            ]
            assert [d["n"] for d in (await documents.query("user", DocumentQuery({"name": "c"}))).items] == [1]
            assert await documents.delete("user", "a") == 1
            assert await documents.delete("user", "a") == 0
            assert await documents.get("user", "a") is None
            taken = await asyncio.gather(*(documents.add("lock", "x", {"n": n}) for n in range(5)))
            assert sorted(taken) == [False] * 4 + [True]

        self.run(test)

    def test_several_documents_at_once(self) -> None:
        async def test(documents: Documents) -> None:
            await documents.put("r", {"a": {"n": 1}, "b": IndexedDocument({"n": 2}, [("n", 2.0)]), "c": {"n": 3}})
            assert [d["n"] for d in (await documents.query("r")).items] == [1, 2, 3]
            await documents.put("r", {})
            assert await documents.delete("r") == 0
            assert await documents.delete("r", "a", "none", "c") == 2
            assert [d["n"] for d in (await documents.query("r")).items] == [2]

        self.run_documents(test)

    def test_adding_up_a_member(self) -> None:
        async def test(catalog: Catalog) -> None:
            documents = catalog.documents
            assert await documents.sum("r", "n") == 0
            await documents.put("r", {"a": {"n": 1}, "b": IndexedDocument({"n": 1 << 40}, [("n", 2.0)]), "c": {}})
            await documents.put("r", {"d": {"n": True, "m": 5}, "e": {"n": "7"}, "f": {"n": -3}, "g": {"n": None}})
            await documents.put("other", {"a": {"n": 100}})
            await self.backend_documents(catalog, "r", "h", {"n": 10})
            assert await documents.sum("r", "n") == (1 << 40) + 8
            await documents.swap("r", "a", {"n": 1}, {"n": 2})
            await documents.delete("r", "b")
            assert await documents.sum("r", "n") == 9
            assert await documents.sum("r", "m") == 5

        self.run(test)

    def test_swapping_a_document(self) -> None:
        async def test(documents: Documents) -> None:
            free = {"owner": None, "until": 0.5, "deep": {"a": [1, "é"]}}
            assert not await documents.swap("lease", "a", free, {"owner": "x"})
            assert await documents.get("lease", "a") is None
            await documents.put("lease", {"a": free})
            assert not await documents.swap("lease", "a", free | {"until": 1.5}, {"owner": "x"})
            takers = (documents.swap("lease", "a", free, free | {"owner": n}) for n in range(5))
            assert sorted(await asyncio.gather(*takers)) == [False] * 4 + [True]
            taken = await documents.get("lease", "a")
            assert taken is not None
            assert taken["owner"] in range(5)
            assert not await documents.swap("lease", "a", None, free)
            assert not await documents.swap("lease", "a", free, None)
            assert await documents.swap("lease", "a", taken, None)
            assert await documents.get("lease", "a") is None
            assert not await documents.swap("lease", "a", taken, None)
            assert await documents.swap("lease", "a", None, None)
            assert await documents.swap("lease", "a", None, free)
            assert await documents.get("lease", "a") == free

        self.run_documents(test)
