"""Model of the document port in plain dictionaries, which every adapter must agree with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neurdicom.catalog.documents import DocumentPage, DocumentQuery, IndexedDocument
from neurdicom.catalog.terms import Term, TermCondition


@dataclass(frozen=True)
class StoredDocument:
    """A document with its terms and its number in the order of creation, if it is indexed."""

    document: Mapping[str, Any]
    terms: Sequence[Term] = ()
    number: int | None = None


class DocumentModel:
    """Model of the verbs of the document port."""

    def __init__(self) -> None:
        self._kinds: dict[str, dict[str, StoredDocument]] = {}
        self._last = 0

    def get(self, kind: str, key: str) -> Mapping[str, Any] | None:
        """Return a document, as `Documents.get`."""
        stored = self._kinds.get(kind, {}).get(key)
        return None if stored is None else stored.document

    def put(self, kind: str, documents: Mapping[str, Mapping[str, Any] | IndexedDocument]) -> None:
        """Store documents, as `Documents.put`."""
        stored = self._kinds.setdefault(kind, {})
        for key, given in documents.items():
            if isinstance(given, IndexedDocument):
                self._last += 1
                earlier = stored[key].number if key in stored else None
                number = self._last if earlier is None else earlier
                stored[key] = StoredDocument(given.document, given.terms, number)
            else:
                stored[key] = StoredDocument(given)

    def swap(
        self, kind: str, key: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | IndexedDocument | None
    ) -> bool:
        """Replace a document if it is the expected one, as `Documents.swap`."""
        if self.get(kind, key) != before:
            return False
        stored = self._kinds.setdefault(kind, {})
        if after is None:
            stored.pop(key, None)
        elif isinstance(after, IndexedDocument):
            self.put(kind, {key: after})
        else:
            earlier = stored.get(key, StoredDocument({}))
            stored[key] = StoredDocument(after, earlier.terms, earlier.number)
        return True

    def delete(self, kind: str, *keys: str) -> int:
        """Delete documents, as `Documents.delete`."""
        stored = self._kinds.get(kind, {})
        return sum(stored.pop(key, None) is not None for key in set(keys))

    def query(self, kind: str, query: DocumentQuery) -> DocumentPage:
        """List the documents that meet a query, as `Documents.query`."""
        chosen = {key: one for key, one in self._kinds.get(kind, {}).items() if _is_chosen(key, one, query)}
        order: Callable[[str], Any] = (lambda key: key) if query.order == "key" else (lambda key: chosen[key].number)
        keys = sorted(chosen, key=order, reverse=query.descending)
        end = None if query.limit is None else query.offset + query.limit
        return query.page([dict(chosen[key].document) for key in keys[query.offset : end]], len(keys))


def _is_chosen(key: str, stored: StoredDocument, query: DocumentQuery) -> bool:
    if stored.number is None and (query.order == "creation" or query.conditions):
        return False
    if query.after is not None and not (key < query.after if query.descending else key > query.after):
        return False
    members = [(stored.document.get(name), value) for name, value in query.equal.items()]
    equal = all(type(member) is type(value) and member == value for member, value in members)
    return equal and all(meets(stored.terms, condition) for condition in query.conditions)


def meets(terms: Sequence[Term], condition: TermCondition) -> bool:
    """Tell whether the terms of a document meet a condition.

    Parameters
    ----------
    terms : sequence of (str, str or float)
        Names and values of the terms.
    condition : TermCondition
        The condition.

    Returns
    -------
    bool
    """
    mine = [value for name, value in terms if name == condition.name]
    if condition.op == "=":
        return any(
            value == wanted and isinstance(value, str) == isinstance(wanted, str)
            for value in mine
            for wanted in condition.values
        )
    if condition.op == "!=":
        return bool(mine) and not meets(terms, TermCondition(condition.name, "=", condition.values))
    [wanted] = condition.values
    alike: list[Any] = [value for value in mine if isinstance(value, str) == isinstance(wanted, str)]
    point: Any = wanted
    compare: dict[str, Callable[[Any], bool]] = {
        "<": lambda value: value < point,
        "<=": lambda value: value <= point,
        ">": lambda value: value > point,
        ">=": lambda value: value >= point,
    }
    return any(compare[condition.op](value) for value in alike)
