"""Fields of nodes: read from a request, kept as a document, and answered without credentials."""

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
    """Make a node of the fields that a client gave.

    Parameters
    ----------
    fields : Mapping[str, Any]
        `name`, `protocol`, and the fields of the protocol; null means not given.
    before : Node, optional
        The node that is replaced: its name stays, and so do its credentials where none are given.

    Raises
    ------
    Invalid
        A field is missing, unknown or wrong; it is named.
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
    """Write a node as a document of the catalog, credentials included."""
    return asdict(node)


def from_document(document: Mapping[str, Any]) -> Node:
    """Read what `to_document` wrote."""
    return Node(**{name: document[name] for name in Node.__slots__ if name in document})


def to_api(node: Node) -> dict[str, Any]:
    """Describe a node for the API: whether it has credentials, and of which kind, but none of them."""
    shown: dict[str, Any] = {"id": node.name, "name": node.name, "protocol": node.protocol}
    shown |= {field: getattr(node, field) for field in FIELDS[node.protocol] if field not in CREDENTIALS}
    if node.protocol == "DICOMWEB":
        shown["credentials"] = "bearer" if node.token else "basic" if node.username else "none"
    return shown


def _name(given: Mapping[str, Any], before: Node | None) -> str:
    name: str = given.get("name", given.get("id", "" if before is None else before.name))
    if before is not None and name != before.name:
        raise Invalid(f"name is {name!r}, but the node is {before.name!r}; a node keeps its name", field="name")
    if given.get("id", name) != name:
        raise Invalid(f"id is {given['id']!r}, but name is {name!r}; they are the same", field="id")
    return name


def _kept_credentials(before: Node, url: str) -> dict[str, str]:
    kept = {field: getattr(before, field) for field in CREDENTIALS}
    if any(kept.values()) and _origin(url) != _origin(before.url):
        raise Invalid(
            "url leads to another server than before: give the credentials for it anew, or null for none",
            field="url",
        )
    return kept


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.hostname, parts.port
