"""State machine test of the document port against its model (hypothesis, a development dependency)."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from neurdicom.catalog.documents import DocumentQuery, Documents, IndexedDocument
from neurdicom.catalog.terms import Operator, Scalar, TermCondition
from neurdicom.testing.document_model import DocumentModel
from neurdicom.testing.machine import AdapterMachine

_KINDS = st.sampled_from(["job", "result"])
_KEYS = st.sampled_from(["a", "b", "c", "ä", "山"])
_VALUES: list[str | int | bool] = ["x", "1", 1, True, False, "y" * 100]
_MEMBERS = st.sampled_from(_VALUES)
_SCALARS: list[Scalar] = [-1.0, 0.0, 1.0, "", "a", "b"]
_NAMES = st.sampled_from(["n", "m"])
_TERMS = st.lists(st.tuples(_NAMES, st.sampled_from(_SCALARS)), max_size=3)
_ORDERED: list[Operator] = ["<", "<=", ">", ">="]


@st.composite
def _documents(draw: st.DrawFn) -> dict[str, Any]:
    return {name: draw(_MEMBERS) for name in ("state", "owner") if draw(st.booleans())}


@st.composite
def _given(draw: st.DrawFn) -> Mapping[str, Any] | IndexedDocument:
    document = draw(_documents())
    return IndexedDocument(document, draw(_TERMS)) if draw(st.booleans()) else document


@st.composite
def _conditions(draw: st.DrawFn) -> TermCondition:
    name, values = draw(_NAMES), st.sampled_from(_SCALARS)
    if draw(st.booleans()):
        return TermCondition(name, draw(st.sampled_from(_ORDERED)), (draw(values),))
    operator: Operator = "=" if draw(st.booleans()) else "!="
    return TermCondition(name, operator, tuple(draw(st.lists(values, min_size=1, max_size=2))))


@st.composite
def _queries(draw: st.DrawFn) -> DocumentQuery:
    by_key = draw(st.booleans())
    return DocumentQuery(
        equal={name: draw(_MEMBERS) for name in ("state", "owner") if draw(st.integers(0, 2)) == 0},
        conditions=draw(st.lists(_conditions(), max_size=2)),
        order="key" if by_key else "creation",
        after=draw(st.none() | _KEYS) if by_key else None,
        limit=draw(st.none() | st.integers(0, 3)),
        offset=draw(st.integers(0, 2)),
        descending=draw(st.booleans()),
        counted=draw(st.booleans()),
    )


class DocumentMachine(AdapterMachine):
    """Random operations on an adapter's documents and the model; a subclass implements `open_catalog`."""

    def __init__(self) -> None:
        super().__init__()
        self.model = DocumentModel()

    @property
    def documents(self) -> Documents:
        """The documents under test."""
        return self.tested.documents

    @rule(kind=_KINDS, documents=st.dictionaries(_KEYS, _given(), max_size=3))
    def put(self, kind: str, documents: dict[str, Mapping[str, Any] | IndexedDocument]) -> None:
        self.wait(self.documents.put(kind, documents))
        self.model.put(kind, documents)

    @rule(kind=_KINDS, key=_KEYS, document=_documents())
    def add(self, kind: str, key: str, document: dict[str, Any]) -> None:
        assert self.wait(self.documents.add(kind, key, document)) == self.model.swap(kind, key, None, document)

    @rule(kind=_KINDS, key=_KEYS, given=st.none() | _documents(), after=st.none() | _given(), as_is=st.booleans())
    def swap(
        self,
        kind: str,
        key: str,
        given: dict[str, Any] | None,
        after: Mapping[str, Any] | IndexedDocument | None,
        as_is: bool,
    ) -> None:
        before = self.model.get(kind, key) if as_is else given
        assert self.wait(self.documents.swap(kind, key, before, after)) == self.model.swap(kind, key, before, after)

    @rule(kind=_KINDS, keys=st.lists(_KEYS, max_size=2))
    def delete(self, kind: str, keys: list[str]) -> None:
        assert self.wait(self.documents.delete(kind, *keys)) == self.model.delete(kind, *keys)

    @rule(kind=_KINDS, key=_KEYS, query=_queries())
    def look(self, kind: str, key: str, query: DocumentQuery) -> None:
        assert self.wait(self.documents.get(kind, key)) == self.model.get(kind, key)
        assert self.wait(self.documents.query(kind, query)) == self.model.query(kind, query)
