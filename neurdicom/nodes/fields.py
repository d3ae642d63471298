"""Conversion of a node's fields: from a request, to and from a document, and to the API, without credentials."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from neurdicom.errors import Invalid
from neurdicom.nodes.peer import Node
from neurdicom.nodes.schemas import NEW_NODE, NODE

#: Fields of each protocol.
FIELDS = {
    "DIMSE": ("ae_title", "host", "port", "tls", "retrieve"),
    "DICOMWEB": ("url", "username", "password", "token", "retrieve"),
}
CREDENTIALS = ("username", "password", "token")


def parse_node(fields: Mapping[str, Any], *, before: Node | None = None) -> Node:
    """Make a node from the fields of a request.

    Parameters
    ----------
    fields : Mapping[str, Any]
        `name`, `protocol`, and the fields of the protocol; null has the same meaning as leaving a field out.
    before : Node, optional
        Node that is replaced: its name stays, and so do its credentials where none are given.

    Returns
    -------
    Node

    Raises
    ------
    Invalid
        A field is missing, unknown or wrong; `field` names it.
    """
    checked = (NEW_NODE if before is None else NODE).check(fields)
    given = {name: value for name, value in checked.items() if value is not None}
    name = _name(given, before)
    protocol = given["protocol"].upper()
    values = {field: given[field] for field in FIELDS[protocol] if field in given}
    if protocol == "DICOMWEB":
        values["url"] = values["url"].rstrip("/")
        if before is not None and not any(field in fields for field in CREDENTIALS):
            values |= _kept_credentials(before, values["url"])
    return Node(name, protocol, **values)


def to_document(node: Node) -> dict[str, Any]:
    """Convert a node to a document of the catalog, credentials included."""
    return asdict(node)


def from_document(document: Mapping[str, Any]) -> Node:
    """Convert a document of `to_document` to a node."""
    return Node(**{name: document[name] for name in Node.__slots__ if name in document})


def to_api(node: Node) -> dict[str, Any]:
    """Describe a node for the API: with the kind of its credentials, but without them."""
    shown: dict[str, Any] = {"id": node.name, "name": node.name, "protocol": node.protocol}
    shown |= {field: getattr(node, field) for field in FIELDS[node.protocol] if field not in CREDENTIALS}
    if node.protocol == "DICOMWEB":
        shown["credentials"] = "bearer" if node.token else "basic" if node.username else "none"
    return shown


def _name(given: Mapping[str, Any], before: Node | None) -> str:
    name: str = given.get("name", given.get("id", "" if before is None else before.name))
    if before is not None and name != before.name:
        raise Invalid(f"name is {name!r}, but the node is {before.name!r}; a node can't be renamed", field="name")
    if given.get("id", name) != name:
        raise Invalid(f"id is {given['id']!r}, but name is {name!r}; they must be equal", field="id")
    return name


def _kept_credentials(before: Node, url: str) -> dict[str, str]:
    kept = {field: getattr(before, field) for field in CREDENTIALS}
    if any(kept.values()) and _origin(url) != _origin(before.url):
        raise Invalid(
            "url names another server than before: give the credentials for it, or null for none",
            field="url",
        )
    return kept


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.hostname, parts.port
