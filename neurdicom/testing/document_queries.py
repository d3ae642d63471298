"""Contract suite of the document port: pages of documents."""

from dataclasses import replace

from neurdicom.catalog.documents import DocumentQuery, Documents, IndexedDocument
from neurdicom.catalog.terms import TermCondition
from neurdicom.testing.catalog_suite import CatalogSuite


class DocumentQueryContract(CatalogSuite):
    """Tests of equal members, orders and pages."""

    def test_pages_of_documents(self) -> None:
        async def test(documents: Documents) -> None:
            for number in range(25):
                state = "done" if number % 5 else "failed"
                await documents.put("job", {f"{number:02}": {"n": number, "state": state, "kind": "send"}})
            await documents.put("jobs", {"99": {"n": 99, "state": "done"}})
            everything = await documents.query("job", DocumentQuery(limit=10))
            assert ([one["n"] for one in everything.items], everything.total) == ([*range(10)], 25)
            last = await documents.query("job", DocumentQuery(limit=10, offset=20, descending=True))
            assert ([one["n"] for one in last.items], last.total) == ([4, 3, 2, 1, 0], 25)
            past = await documents.query("job", DocumentQuery(limit=10, offset=30))
            assert (past.items, past.total) == ([], 25)
            failed = DocumentQuery({"state": "failed", "kind": "send"}, limit=2, descending=True)
            page = await documents.query("job", failed)
            assert ([one["n"] for one in page.items], page.total) == ([20, 15], 5)
            assert (await documents.query("job", replace(failed, counted=False, offset=1))).total == 3
            await documents.put("job", {"20": {"n": 20, "state": 1}})
            assert (await documents.query("job", DocumentQuery({"state": "failed"}, limit=0))).total == 4
            for where in ({"state": "1"}, {"state": "failed", "kind": "other"}, {"missing": "x"}):
                none = await documents.query("job", DocumentQuery(where, limit=10))
                assert (none.items, none.total) == ([], 0), where

        self.run_documents(test)

    def test_all_documents_in_pieces(self) -> None:
        async def test(documents: Documents) -> None:
            for number in range(10):
                await documents.put("r", {f"{number}": {"n": number}})
            await documents.put("s", {"9": {"n": 99}})
            found: list[int] = []
            last = ""
            while piece := (await documents.query("r", DocumentQuery(after=last, limit=4, counted=False))).items:
                found += [one["n"] for one in piece]
                last = str(found[-1])
            assert found == [*range(10)]
            assert (await documents.query("none", DocumentQuery(after="", limit=4))).items == []
            below = await documents.query("r", DocumentQuery(after="2", descending=True))
            assert ([one["n"] for one in below.items], below.total) == ([1, 0], 2)

        self.run_documents(test)

    def test_members_are_equal_by_type_too(self) -> None:
        async def test(documents: Documents) -> None:
            members = {"text": "1", "number": 1, "true": True, "float": 1.0, "long": "x" * 100, "deep": {"a": 1}}
            await documents.put("r", {key: {"k": key, "m": member} for key, member in members.items()})
            for value, keys in (("1", ["text"]), (1, ["number"]), (True, ["true"]), (False, []), ("x" * 100, ["long"])):
                for limit in (None, 5):
                    page = await documents.query("r", DocumentQuery({"m": value}, limit=limit))
                    assert ([one["k"] for one in page.items], page.total) == (keys, len(keys)), value
            assert (await documents.query("r", DocumentQuery({"m": '{"a":1}'}))).items == []

        self.run_documents(test)

    def test_conditions_with_members_and_orders(self) -> None:
        async def test(documents: Documents) -> None:
            keys = ["d", "a", "c", "b", "e"]
            await documents.put(
                "r",
                {
                    key: IndexedDocument({"k": key, "odd": bool(n % 2), "s": "x"}, [("n", n)])
                    for n, key in enumerate(keys)
                },
            )
            await documents.put("r", {"0": {"k": "0", "odd": True, "s": "x"}})
            some = DocumentQuery(conditions=[TermCondition("n", ">", (0,))])
            for query, expected in (
                (some, "abce"),
                (replace(some, descending=True, limit=2), "ec"),
                (replace(some, after="b", equal={"s": "x"}), "ce"),
                (replace(some, order="creation"), "acbe"),
                (replace(some, order="creation", equal={"odd": True}), "ab"),
                (replace(some, order="creation", equal={"odd": False}, limit=1, offset=1), "e"),
                (DocumentQuery({"odd": True}, order="creation", descending=True), "ba"),
                (DocumentQuery({"odd": True}, limit=1, offset=1), "a"),
            ):
                page = await documents.query("r", query)
                assert "".join(one["k"] for one in page.items) == expected, query
            assert (await documents.query("r", replace(some, limit=1))).total == 4
            assert (await documents.query("r", replace(some, equal={"odd": True}, limit=1))).total == 2

        self.run_documents(test)
