"""The document port: JSON documents by kind and key (users, tokens, plugins, jobs, rules, nodes, results).

An adapter implements five verbs; `add` and `sum` have defaults. The port is independent of DICOM.
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
        The document.
    terms : sequence of (str, str or float)
        Names with values. Several of one name are alternatives; those that `terms.is_term` refuses are left out.
    """

    document: Mapping[str, Any]
    terms: Sequence[Term] = ()


@dataclass(frozen=True, slots=True)
class DocumentQuery:
    """Query for a page of documents of one kind, in an order.

    Attributes
    ----------
    equal : Mapping[str, str or int or bool]
        Top-level members by name, with the value and the type that they must have; `True` is not 1.
    conditions : sequence of TermCondition
        Conditions that must all hold; a document without terms meets none.
    order : {"key", "creation"}
        By code points of the key, or in the order of creation; the latter lists only indexed documents.
    after : str, optional
        Lists only keys after this one; only in the order of keys.
    limit : int, optional
        Most documents on the page; None for all.
    offset : int
        Documents to skip; each costs one index lookup.
    descending : bool
        True to reverse the order.
    counted : bool
        True to report the total number of documents.
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
            raise ValueError(f"a page after the key {self.after!r} is in the order {self.order!r}; 'key' is expected")

    def page(self, items: list[dict[str, Any]], total: int | None = None) -> "DocumentPage":
        """Make the page of this query.

        Parameters
        ----------
        items : list of dict
            The documents of the page.
        total : int, optional
            Total number of documents, where it was counted.
        """
        return DocumentPage(items, self.offset + len(items) if total is None or not self.counted else total)

    def needs_count(self, found: int) -> bool:
        """Tell whether the total has to be counted, after a page with `found` documents."""
        return self.counted and (found == self.limit or (not found and self.offset > 0))


#: All documents of a kind, by key.
ALL = DocumentQuery()


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """A page of documents.

    Attributes
    ----------
    items : list of dict
        The documents of the page.
    total : int
        Number of documents that meet the query; without `DocumentQuery.counted`, of those up to the page's end.
    """

    items: list[dict[str, Any]]
    total: int


class Documents(ABC):
    """Port of JSON documents by kind and key. Every verb is atomic and durable.

    Attributes
    ----------
    is_exclusive : bool
        True if only one server at a time uses the backend, which may then cache documents that only servers write.
    """

    is_exclusive: ClassVar[bool] = False

    @abstractmethod
    async def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """Return the document of a key, None if there is none."""

    @abstractmethod
    async def put(self, kind: str, documents: Mapping[str, Mapping[str, Any] | IndexedDocument]) -> None:
        """Store documents by key, replacing earlier ones, each whole or not at all.

        An indexed document that replaces another keeps its place in the order of creation; one without terms removes
        the terms and the place of the earlier one.
        """

    async def add(self, kind: str, key: str, document: Mapping[str, Any]) -> bool:
        """Store a document if its key is free.

        Parameters
        ----------
        kind, key : str
            Kind and key of the document.
        document : Mapping[str, Any]
            The document.

        Returns
        -------
        bool
            False if the key is taken; nothing is changed then.
        """
        return await self.swap(kind, key, None, document)

    @abstractmethod
    async def swap(
        self, kind: str, key: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | IndexedDocument | None
    ) -> bool:
        """Replace a document if it is still the expected one (compare and swap).

        Parameters
        ----------
        kind, key : str
            Kind and key of the document.
        before : Mapping[str, Any] or None
            The expected document; None expects that there is none.
        after : Mapping[str, Any], IndexedDocument or None
            The document that replaces it; it keeps the terms of the earlier one, unless it is indexed itself. None to
            delete it.

        Returns
        -------
        bool
            False if the expectation does not hold; nothing is changed then.
        """

    @abstractmethod
    async def delete(self, kind: str, *keys: str) -> int:
        """Delete documents with their terms; return how many there were."""

    @abstractmethod
    async def query(self, kind: str, query: DocumentQuery = ALL) -> DocumentPage:
        """List the documents of a kind that meet a query."""

    async def sum(self, kind: str, member: str) -> int:
        """Add up a top-level member of all documents of a kind; one that is no integer counts as 0.

        Parameters
        ----------
        kind : str
            Kind of the documents.
        member : str
            Name of the member.
        """
        found = (await self.query(kind, DocumentQuery(counted=False))).items
        return sum(value for each in found if type(value := each.get(member)) is int)
