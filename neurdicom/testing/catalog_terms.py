"""The part of the catalog's contract that is about documents found by their terms."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

from neurdicom.catalog.base import Catalog, Page
from neurdicom.catalog.terms import LONGEST, Having, Operator, Scalar, Term, Termed

_NUMBERS = (-1e300, -2.5, -0.0, 0.0, 5e-324, 1.0, 2.0, 10.0, 1e300)
_TEXTS = ("", "1", "B", "a", "ab", "a\0", "é", "山", "\U0001f600", "x" * LONGEST)
_OPERATORS: tuple[Operator, ...] = ("=", "!=", "<", "<=", ">", ">=")


def _holds(terms: list[Term], having: Having) -> bool:
    """What `Having` means, as plainly as it can be said."""
    mine = [value for name, value in terms if name == having.name]
    if having.op == "=":
        return any(value == wanted and type(value) is type(wanted) for value in mine for wanted in having.values)
    if having.op == "!=":
        return bool(mine) and not _holds(terms, Having(having.name, "=", having.values))
    [wanted] = having.values
    alike: list[Any] = [value for value in mine if isinstance(value, str) == isinstance(wanted, str)]
    point: Any = wanted
    compare: dict[str, Callable[[Any], bool]] = {
        "<": lambda value: value < point,
        "<=": lambda value: value <= point,
        ">": lambda value: value > point,
        ">=": lambda value: value >= point,
    }
    return any(compare[having.op](value) for value in alike)


class TermContract(ABC):
    """What holds for the terms of documents in every catalog; a part of `CatalogContract`."""

    @abstractmethod
    def run(self, test: Callable[[Catalog], Awaitable[None]]) -> None:
        """Run a test on an empty catalog."""

    def test_every_comparison_of_terms(self) -> None:
        values: list[Scalar] = [*_NUMBERS, *_TEXTS]
        documents: dict[str, list[Term]] = {f"{n:02}": [("v", value)] for n, value in enumerate(values)}
        documents |= {
            "both": [("v", 1.0), ("v", "a"), ("v", 20.0), ("w", 3.0)],
            "near": [("v.a", 1.0), ("", 1.0), ("va", "a")],
            "none": [],
        }

        async def test(catalog: Catalog) -> None:
            await catalog.put_documents("r", [Termed(key, {"k": key}, terms) for key, terms in documents.items()])
            await catalog.put_documents("other", [Termed("x", {"k": "x"}, [("v", 1.0), ("v", "a")])])
            everything = [Having("v", op, (value,)) for op, value in itertools.product(_OPERATORS, values)]
            everything += [Having("v", op, (1.0, "a", "B")) for op in ("=", "!=")]
            for having in everything:
                expected = [key for key, terms in documents.items() if _holds(terms, having)]
                page = await catalog.search_documents("r", [having], limit=100)
                assert _keys(page) == expected, having
                assert page.total == len(expected), having
            two = [Having("v", ">", (10.0,)), Having("w", "<=", (3.0,))]
            assert _keys(await catalog.search_documents("r", two, limit=100)) == ["both"]
            assert _keys(await catalog.search_documents("r", [*two, Having("v", "!=", ("a",))], limit=100)) == []

        self.run(test)

    def test_pages_of_termed_documents(self) -> None:
        async def test(catalog: Catalog) -> None:
            await catalog.put_document("r", "plain", {"k": "plain"})
            keys = [f"{(n * 7) % 25:02}" for n in range(25)]  # not in the order of the keys
            for start in range(0, 25, 10):
                await catalog.put_documents(
                    "r", [Termed(key, {"k": key}, [("n", float(key)), ("n", 99.0)]) for key in keys[start : start + 10]]
                )
            assert await catalog.get_document("r", keys[3]) == {"k": keys[3]}
            everything = await catalog.search_documents("r", [], limit=100)
            assert (_keys(everything), everything.total) == (keys, 25)
            page = await catalog.search_documents("r", [Having("n", ">=", (0.0,))], limit=10, offset=20)
            assert (_keys(page), page.total) == (keys[20:], 25)
            page = await catalog.search_documents("r", [Having("n", "<", (50.0,))], limit=4, offset=2, descending=True)
            assert (_keys(page), page.total) == (keys[::-1][2:6], 25)
            none = await catalog.search_documents("r", [Having("n", "=", (1.0,))], limit=0)
            assert (none.items, none.total) == ([], 1)

        self.run(test)

    def test_terms_follow_their_document(self) -> None:
        async def test(catalog: Catalog) -> None:
            async def found(name: str) -> list[str]:
                return _keys(await catalog.search_documents("r", [Having(name, ">", (0.0,))], limit=9))

            await catalog.put_documents("r", [Termed(key, {"k": key}, [("a", 1.0)]) for key in "xyz"])
            await catalog.put_documents("r", [Termed("y", {"k": "y", "new": True}, [("b", 1.0), ("b", 1.0)])])
            assert (await found("a"), await found("b")) == (["x", "z"], ["y"])
            assert _keys(await catalog.search_documents("r", [], limit=9)) == ["x", "y", "z"]
            assert await catalog.swap_document("r", "y", {"k": "y", "new": True}, {"k": "swapped"})
            assert await found("b") == ["swapped"]
            await catalog.put_document("r", "x", {"k": "x"})
            assert await found("a") == ["z"]
            assert await catalog.delete_document("r", "z")
            assert await found("a") == []
            await catalog.put_documents("r", [Termed(key, {"k": key}, [("a", 1.0)]) for key in "zpq"])
            assert await found("a") == ["z", "p", "q"]
            assert await catalog.delete_documents("r", ["z", "q", "none"]) == 2
            assert (await found("a"), await catalog.get_document("r", "z")) == (["p"], None)
            assert await catalog.delete_documents("r", []) == 0
            await catalog.put_documents("r", [])

        self.run(test)

    def test_terms_that_are_too_long_are_left_out(self) -> None:
        async def test(catalog: Catalog) -> None:
            long = "y" * (LONGEST + 1)
            terms: list[Term] = [("a", long), (long, 1.0), ("a\x1fb", "c"), ("b", "kept")]
            await catalog.put_documents("r", [Termed("x", {"k": "x"}, terms)])
            for having, keys in (
                (Having("b", "=", ("kept",)), ["x"]),
                (Having("a", ">=", ("",)), []),
                (Having("a", "!=", ("z",)), []),
                (Having(long, "=", (1.0,)), []),
            ):
                assert _keys(await catalog.search_documents("r", [having], limit=9)) == keys, having

        self.run(test)


def _keys(page: Page) -> list[str]:
    return [one["k"] for one in page.items]
