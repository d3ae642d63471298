"""The document port: JSON documents by kind and key (users, tokens, plugins, jobs, rules, nodes, results).

An adapter writes five verbs; `add` has a default. Nothing here knows of DICOM.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from neurdicom.catalog.terms import Term, TermCondition


@dataclass(frozen=True, slots=True)
class IndexedDocument:
    """A document with the terms that it is found by.

    Attributes
    ----------
    document : Mapping[str, Any]
    terms : sequence of (str, str or float)
        Names with values. Several of one name are alternatives; those that `terms.is_term` refuses are left out.
    """

    document: Mapping[str, Any]
    terms: Sequence[Term] = ()


@dataclass(frozen=True, slots=True)
class DocumentQuery:
    """A choice of documents of one kind, and their order.

    Attributes
    ----------
    equal : Mapping[str, str or int or bool]
        Top-level members by name, with the value and the type that they must have; `True` is not 1.
    conditions : sequence of TermCondition
        All must hold; a document that was put without terms meets none.
    order : {"key", "creation"}
        By code points of the key, or as they were first put; the latter lists indexed documents alone.
    after : str, optional
        Only keys that come after this one in the order, which is by key then.
    limit : int, optional
        Most documents in the page; None for all.
    offset : int
        Documents to skip; each costs one index lookup.
    descending : bool
        Reverse the order.
    counted : bool
        Whether the page tells how many there are in all.
    """

    equal: Mapping[str, str | int | bool] = field(default_factory=dict)
    conditions: Sequence[TermCondition] = ()
    order: Literal["key", "creation"] = "key"
    after: str | None = None
    limit: int | None = None
    offset: int = 0
    descending: bool = False
    counted: bool = True

    def __post_init__(self) -> None:
        if self.after is not None and self.order != "key":
            raise ValueError(f"a page after the key {self.after!r} is ordered by key, not by {self.order}")

    def page(self, items: list[dict[str, Any]], total: int | None = None) -> "DocumentPage":
        """Make the page of this query.

        Parameters
        ----------
        items : list of dict
            The documents of the page alone.
        total : int, optional
            Number of documents in all, where it was counted.
        """
        return DocumentPage(items, self.offset + len(items) if total is None or not self.counted else total)

    def needs_count(self, found: int) -> bool:
        """Tell whether the total is still unknown once a page with so many documents is there."""
        return self.counted and (found == self.limit or (not found and self.offset > 0))


#: All documents of a kind, by key.
ALL = DocumentQuery()


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """A page of documents.

    Attributes
    ----------
    items : list of dict
    total : int
        Number of documents that meet the query; of one that is not counted, of those up to the page's end.
    """

    items: list[dict[str, Any]]
    total: int


class Documents(ABC):
    """JSON documents of a backend, by kind and key. Every verb is atomic and durable.

    Attributes
    ----------
    is_exclusive : bool
        Whether one server at a time uses the backend, so that what it has read of documents that only servers write
        stays true.
    """

    is_exclusive: ClassVar[bool] = False

    @abstractmethod
    async def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """Give the document of a key, None if there is none."""

    @abstractmethod
    async def put(self, kind: str, documents: Mapping[str, Mapping[str, Any] | IndexedDocument]) -> None:
        """Store documents by key in place of earlier ones, each whole or not at all.

        An indexed document that replaces another keeps its place in the order of creation; one without terms takes
        the terms and the place of the earlier one away.
        """

    async def add(self, kind: str, key: str, document: Mapping[str, Any]) -> bool:
        """Store a document if its key is free; answer False, and change nothing, if it is taken."""
        return await self.swap(kind, key, None, document)

    @abstractmethod
    async def swap(
        self, kind: str, key: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
    ) -> bool:
        """Replace a document if it is still as expected.

        Parameters
        ----------
        kind, key : str
        before : Mapping[str, Any] or None
            The document that is expected; None for no document.
        after : Mapping[str, Any] or None
            The document that takes its place and keeps its terms; None to delete it.

        Returns
        -------
        bool
            False, and no change, if another document is there, or none.
        """

    @abstractmethod
    async def delete(self, kind: str, *keys: str) -> int:
        """Delete documents with their terms; answer how many there were."""

    @abstractmethod
    async def query(self, kind: str, query: DocumentQuery = ALL) -> DocumentPage:
        """List the documents of a kind that meet a query."""
