"""Fields of nodes: checked, kept as a document, and answered without credentials."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from neurdicom.config import is_ae_title
from neurdicom.errors import Invalid, shown
from neurdicom.nodes.peer import Node

#: Fields of each protocol, and how its nodes may be asked for instances.
FIELDS = {
    "DIMSE": ("ae_title", "host", "port", "tls", "retrieve"),
    "DICOMWEB": ("url", "username", "password", "token", "retrieve"),
}
METHODS = {"DIMSE": ("C-MOVE", "C-GET"), "DICOMWEB": ("WADO-RS",)}
CREDENTIALS = ("username", "password", "token")

#: What a node answers beside its fields; a client that sends back what it got sends these too.
_READ_ONLY = ("id", "credentials")

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._~-]{0,63}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9_.:%-]{1,253}", re.ASCII)
_TOKEN = re.compile(r"[!-~]{1,8192}", re.ASCII)
_URL = re.compile(r"[!-~]{1,2048}", re.ASCII)
_LONGEST_SECRET = 8192


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
    given = {name: value for name, value in fields.items() if value is not None}
    name = _name(given, before)
    protocol = _protocol(given)
    for field in fields.keys() - {"name", "protocol", *_READ_ONLY, *FIELDS[protocol]}:
        taken = ", ".join(("name", "protocol", *FIELDS[protocol]))
        raise Invalid(f"{field!r} is no field of a {protocol} node; it has {taken}", field=field)
    values = _dimse(given) if protocol == "DIMSE" else _dicomweb(given)
    if "retrieve" in given:
        values["retrieve"] = _choice(given["retrieve"], "retrieve", METHODS[protocol])
    if before is not None and protocol == "DICOMWEB" and not any(field in fields for field in CREDENTIALS):
        values |= _kept_credentials(before, values["url"])
    return Node(name, protocol, **values)  # type: ignore[arg-type]  # one of FIELDS


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
    name = given.get("name", given.get("id", None if before is None else before.name))
    if name is None:
        raise Invalid("name is missing", field="name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Invalid(
            f"name is {shown(name)}; 1 to 64 letters, digits and . _ ~ - are expected, since it is a part of URLs",
            field="name",
        )
    if before is not None and name != before.name:
        raise Invalid(f"name is {name!r}, but the node is {before.name!r}; a node keeps its name", field="name")
    if given.get("id", name) != name:
        raise Invalid(f"id is {shown(given['id'])}, but name is {name!r}; they are the same", field="id")
    return name


def _protocol(given: Mapping[str, Any]) -> str:
    protocol = given.get("protocol")
    return _choice(protocol.upper() if isinstance(protocol, str) else protocol, "protocol", tuple(FIELDS))


def _choice(value: object, field: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise Invalid(f"{field} is {shown(value)}; {' or '.join(choices)} is expected", field=field)
    return str(value)


def _dimse(given: Mapping[str, Any]) -> dict[str, Any]:
    ae_title, host, port, tls = (given.get(field) for field in ("ae_title", "host", "port", "tls"))
    if not isinstance(ae_title, str) or not is_ae_title(ae_title):
        raise Invalid(
            f"ae_title is {shown(ae_title)}; 1 to 16 printable ASCII characters without a backslash are expected",
            field="ae_title",
        )
    if not isinstance(host, str) or not _HOST.fullmatch(host):
        raise Invalid(f"host is {shown(host)}; a host name or an IP address is expected", field="host")
    if type(port) is not int or not 1 <= port <= 65535:
        raise Invalid(f"port is {shown(port)}; an integer from 1 to 65535 is expected", field="port")
    if tls is not None and type(tls) is not bool:
        raise Invalid(f"tls is {shown(tls)}; true or false is expected", field="tls")
    return {"ae_title": ae_title, "host": host, "port": port, "tls": bool(tls)}


def _dicomweb(given: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {"url": _url(given.get("url"))}
    for field in CREDENTIALS:
        secret = given.get(field, "")
        if not isinstance(secret, str) or len(secret) > _LONGEST_SECRET or not secret.isprintable():
            raise Invalid(f"{field} is not printable text of at most {_LONGEST_SECRET} characters", field=field)
        values[field] = secret
    if ":" in values["username"]:
        raise Invalid("username has a colon, which none for basic authentication can have (RFC 7617)", field="username")
    if values["password"] and not values["username"]:
        raise Invalid("password is given without username", field="username")
    if values["token"] and not _TOKEN.fullmatch(values["token"]):
        raise Invalid("token has characters that no bearer token has (RFC 6750)", field="token")
    if values["token"] and values["username"]:
        raise Invalid("token and username are both given; a request carries one of them", field="token")
    return values


def _url(value: object) -> str:
    expected = "an address such as https://pacs.example.org/dicom-web is expected"
    if not isinstance(value, str) or not _URL.fullmatch(value):
        # Not shown: it may hold a password.
        raise Invalid(f"url is missing, or no printable ASCII text without spaces; {expected}", field="url")
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as error:
        raise Invalid(f"url can't be parsed; {expected}", field="url") from error
    if parts.username is not None or parts.password is not None:
        raise Invalid("url holds credentials; give them as username and password, or as token", field="url")
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise Invalid(f"url has the scheme {parts.scheme!r} and the host {parts.hostname!r}; {expected}", field="url")
    if parts.query or parts.fragment:
        raise Invalid(f"url has a query or a fragment; {expected}", field="url")
    return value.rstrip("/")


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
