"""The part of the catalog's contract that is about documents."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

from neurdicom.catalog.base import Catalog


class DocumentContract(ABC):
    """What holds for the documents of every catalog; a part of `CatalogContract`."""

    @abstractmethod
    async def backend_documents(self, catalog: Catalog, kind: str, key: str, document: dict[str, Any]) -> None:
        """Write a document into the backend behind the adapter's back."""

    @abstractmethod
    def run(self, test: Callable[[Catalog], Awaitable[None]]) -> None:
        """Run a test on an empty catalog."""

    def test_documents(self) -> None:
        async def test(catalog: Catalog) -> None:
            assert await catalog.add_document("user", "b", {"on": True, "n": 1, "deep": {"a.b": [1, None, "é$"]}})
            assert not await catalog.add_document("user", "b", {"on": False})
            await catalog.put_document("user", "a", {"on": 1, "n": 1})
            await catalog.put_document("plugin", "a", {"$set": "kept"})
            await self.backend_documents(catalog, "user", "c", {"on": False, "n": 1})
            assert await catalog.get_document("plugin", "a") == {"$set": "kept"}
            assert await catalog.get_document("user", "c") == {"on": False, "n": 1}
            assert [d["on"] for d in await catalog.find_documents("user", n=1)] == [1, True, False]
            assert await catalog.find_documents("user", on=True) == [
                {"on": True, "n": 1, "deep": {"a.b": [1, None, "é$"]}}
            ]
            assert await catalog.delete_document("user", "a")
            assert not await catalog.delete_document("user", "a")
            assert await catalog.get_document("user", "a") is None
            taken = await asyncio.gather(*(catalog.add_document("lock", "x", {"n": n}) for n in range(5)))
            assert sorted(taken) == [False] * 4 + [True]

        self.run(test)

    def test_pages_of_documents(self) -> None:
        async def test(catalog: Catalog) -> None:
            for number in range(25):
                state = "done" if number % 5 else "failed"
                await catalog.put_document("job", f"{number:02}", {"n": number, "state": state, "kind": "send"})
            await catalog.put_document("jobs", "99", {"n": 99, "state": "done"})
            everything = await catalog.list_documents("job", {}, limit=10)
            assert ([one["n"] for one in everything.items], everything.total) == ([*range(10)], 25)
            last = await catalog.list_documents("job", {}, limit=10, offset=20, descending=True)
            assert ([one["n"] for one in last.items], last.total) == ([4, 3, 2, 1, 0], 25)
            failed = await catalog.list_documents("job", {"state": "failed", "kind": "send"}, limit=2, descending=True)
            assert ([one["n"] for one in failed.items], failed.total) == ([20, 15], 5)
            await catalog.put_document("job", "20", {"n": 20, "state": 1})
            assert (await catalog.list_documents("job", {"state": "failed"}, limit=0)).total == 4
            for where in ({"state": "1"}, {"state": "failed", "kind": "other"}, {"missing": "x"}):
                none = await catalog.list_documents("job", where, limit=10)
                assert (none.items, none.total) == ([], 0), where

        self.run(test)

    def test_all_documents_in_pieces(self) -> None:
        async def test(catalog: Catalog) -> None:
            for number in range(10):
                await catalog.put_document("r", f"{number}", {"n": number})
            await catalog.put_document("s", "9", {"n": 99})
            found, last = [], ""
            while piece := await catalog.documents_after("r", last, limit=4):
                found += [one["n"] for one in piece]
                last = str(found[-1])
            assert found == [*range(10)]
            assert await catalog.documents_after("none", "", limit=4) == []

        self.run(test)

    def test_swapping_a_document(self) -> None:
        async def test(catalog: Catalog) -> None:
            free = {"owner": None, "until": 0.5, "deep": {"a": [1, "é"]}}
            assert not await catalog.swap_document("lease", "a", free, {"owner": "x"})
            assert await catalog.get_document("lease", "a") is None
            await catalog.put_document("lease", "a", free)
            assert not await catalog.swap_document("lease", "a", free | {"until": 1.5}, {"owner": "x"})
            takers = (catalog.swap_document("lease", "a", free, free | {"owner": n}) for n in range(5))
            assert sorted(await asyncio.gather(*takers)) == [False] * 4 + [True]
            taken = await catalog.get_document("lease", "a")
            assert taken is not None
            assert taken["owner"] in range(5)
            assert not await catalog.swap_document("lease", "a", free, None)
            assert await catalog.swap_document("lease", "a", taken, None)
            assert await catalog.get_document("lease", "a") is None
            assert not await catalog.swap_document("lease", "a", taken, None)

        self.run(test)
