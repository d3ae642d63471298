"""Contract suite of the document port: documents that are found by their terms."""

import itertools
from collections.abc import Sequence

from neurdicom.catalog.documents import DocumentPage, DocumentQuery, Documents, IndexedDocument
from neurdicom.catalog.terms import LONGEST, Operator, Scalar, Term, TermCondition
from neurdicom.testing.catalog_suite import CatalogSuite
from neurdicom.testing.document_model import meets

_NUMBERS = (-1e300, -2.5, -0.0, 0.0, 5e-324, 1.0, 2.0, 10.0, 1e300)
_TEXTS = ("", "1", "B", "a", "ab", "a\0", "é", "山", "\U0001f600", "x" * LONGEST)
_OPERATORS: tuple[Operator, ...] = ("=", "!=", "<", "<=", ">", ">=")


class TermContract(CatalogSuite):
    """Tests of conditions on terms, and of terms whose document changes."""

    def test_every_comparison_of_terms(self) -> None:
        values: list[Scalar] = [*_NUMBERS, *_TEXTS]
        terms_of: dict[str, list[Term]] = {f"{n:02}": [("v", value)] for n, value in enumerate(values)}
        terms_of |= {
            "both": [("v", 1.0), ("v", "a"), ("v", 20.0), ("w", 3.0)],
            "near": [("v.a", 1.0), ("", 1.0), ("va", "a")],
            "none": [],
        }

        async def test(documents: Documents) -> None:
            await documents.put("r", {key: IndexedDocument({"k": key}, terms) for key, terms in terms_of.items()})
            await documents.put("other", {"x": IndexedDocument({"k": "x"}, [("v", 1.0), ("v", "a")])})
            everything = [TermCondition("v", op, (value,)) for op, value in itertools.product(_OPERATORS, values)]
            everything += [TermCondition("v", op, (1.0, "a", "B")) for op in ("=", "!=")]
            for condition in everything:
                expected = [key for key, terms in terms_of.items() if meets(terms, condition)]
                page = await _search(documents, [condition], limit=100)
                assert _keys(page) == expected, condition
                assert page.total == len(expected), condition
            two = [TermCondition("v", ">", (10.0,)), TermCondition("w", "<=", (3.0,))]
            assert _keys(await _search(documents, two, limit=100)) == ["both"]
            assert _keys(await _search(documents, [*two, TermCondition("v", "!=", ("a",))], limit=100)) == []

        self.run_documents(test)

    def test_pages_of_termed_documents(self) -> None:
        async def test(documents: Documents) -> None:
            await documents.put("r", {"plain": {"k": "plain"}})
            keys = [f"{(n * 7) % 25:02}" for n in range(25)]  # not in the order of the keys
            for start in range(0, 25, 10):
                await documents.put(
                    "r",
                    {
                        key: IndexedDocument({"k": key}, [("n", float(key)), ("n", 99.0)])
                        for key in keys[start : start + 10]
                    },
                )
            assert await documents.get("r", keys[3]) == {"k": keys[3]}
            everything = await _search(documents, [], limit=100)
            assert (_keys(everything), everything.total) == (keys, 25)
            page = await _search(documents, [TermCondition("n", ">=", (0.0,))], limit=10, offset=20)
            assert (_keys(page), page.total) == (keys[20:], 25)
            page = await _search(documents, [TermCondition("n", "<", (50.0,))], limit=4, offset=2, descending=True)
            assert (_keys(page), page.total) == (keys[::-1][2:6], 25)
            none = await _search(documents, [TermCondition("n", "=", (1.0,))], limit=0)
            assert (none.items, none.total) == ([], 1)

        self.run_documents(test)

    def test_terms_follow_their_document(self) -> None:
        async def test(documents: Documents) -> None:
            async def found(name: str) -> list[str]:
                return _keys(await _search(documents, [TermCondition(name, ">", (0.0,))], limit=9))

            await documents.put("r", {key: IndexedDocument({"k": key}, [("a", 1.0)]) for key in "xyz"})
            await documents.put("r", {"y": IndexedDocument({"k": "y", "new": True}, [("b", 1.0), ("b", 1.0)])})
            assert (await found("a"), await found("b")) == (["x", "z"], ["y"])
            assert _keys(await _search(documents, [], limit=9)) == ["x", "y", "z"]
            assert await documents.swap("r", "y", {"k": "y", "new": True}, {"k": "swapped"})
            assert await found("b") == ["swapped"]
            again = IndexedDocument({"k": "again"}, [("c", 1.0)])
            assert not await documents.swap("r", "y", {"k": "other"}, again)
            assert await documents.swap("r", "y", {"k": "swapped"}, again)
            assert (await found("b"), await found("c")) == ([], ["again"])
            assert await documents.swap("r", "new", None, IndexedDocument({"k": "new"}, [("c", 1.0)]))
            assert await found("c") == ["again", "new"]
            assert await documents.delete("r", "new") == 1
            await documents.put("r", {"x": {"k": "x"}})
            assert await found("a") == ["z"]
            assert await documents.delete("r", "z")
            assert await found("a") == []
            await documents.put("r", {key: IndexedDocument({"k": key}, [("a", 1.0)]) for key in "zpq"})
            assert await found("a") == ["z", "p", "q"]
            assert await documents.delete("r", "z", "q", "none") == 2
            assert (await found("a"), await documents.get("r", "z")) == (["p"], None)
            assert await documents.delete("r") == 0
            await documents.put("r", {})

        self.run_documents(test)

    def test_terms_that_are_too_long_are_left_out(self) -> None:
        async def test(documents: Documents) -> None:
            long = "y" * (LONGEST + 1)
            terms: list[Term] = [("a", long), (long, 1.0), ("a\x1fb", "c"), ("b", "kept")]
            await documents.put("r", {"x": IndexedDocument({"k": "x"}, terms)})
            for condition, keys in (
                (TermCondition("b", "=", ("kept",)), ["x"]),
                (TermCondition("a", ">=", ("",)), []),
                (TermCondition("a", "!=", ("z",)), []),
                (TermCondition(long, "=", (1.0,)), []),
            ):
                assert _keys(await _search(documents, [condition], limit=9)) == keys, condition

        self.run_documents(test)


async def _search(
    documents: Documents,
    conditions: Sequence[TermCondition],
    *,
    limit: int,
    offset: int = 0,
    descending: bool = False,
) -> DocumentPage:
    query = DocumentQuery({}, conditions, "creation", limit=limit, offset=offset, descending=descending)
    return await documents.query("r", query)


def _keys(page: DocumentPage) -> list[str]:
    return [one["k"] for one in page.items]
