"""What proxies say of a request: `Forwarded` (RFC 7239), and `X-Forwarded-For`, `-Host`, `-Proto`, `-Port`, `-Prefix`.

These functions read; `proxies` decides what is believed. What is malformed reads as if it were not there.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from neurdicom.addresses import DEFAULT_PORTS, check_authority, check_prefix, has_port, read_address

#: Headers that are read here; a request without them came straight from its client.
HEADERS = frozenset(
    {
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Proto",
    }
)

#: A pair of RFC 7239 section 4, or what stands between pairs; values with colons are taken without their quotes, too.
_TOKEN = re.compile(
    r"""([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\\x00-\x1f\x7f]|\\[\t\x20-\x7e])*)"|([^\s",;=]*))|[;,]|[ \t]+"""
)
_NODE = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([0-9.]+))(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?")
_PORT = re.compile("[0-9]{1,5}")


class Hop(NamedTuple):
    """One proxy's view of a request.

    Attributes
    ----------
    client : str or None
        Address of who connected to the proxy; None where it is not said, unknown or obfuscated.
    host : str or None
        Authority that the request named.
    scheme : str or None
        Either `http` or `https`.
    """

    client: str | None = None
    host: str | None = None
    scheme: str | None = None


def read_forwarded(text: str) -> list[Hop]:
    """Read the values of `Forwarded`, from the proxy nearest to the client on; none if the header is malformed."""
    hops: list[Hop] = []
    pairs: dict[str, str] = {}
    place, is_separated = 0, True
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            return []
        place = token.end()
        if token[1] is not None:
            name = token[1].lower()
            if not is_separated or name in pairs:
                return []
            pairs[name] = token[3] if token[2] is None else re.sub(r"\\(.)", r"\1", token[2])
            is_separated = False
        elif token[0] in ";,":
            is_separated = True
        if pairs and (token[0] == "," or place == len(text)):
            hops.append(_hop(pairs))
            pairs = {}
    return hops


def read_clients(text: str) -> list[str | None]:
    """Read `X-Forwarded-For`: addresses from the client on, None for what is no address."""
    return [_node(each) for each in _values(text)]


def read_host(text: str, count: int) -> str | None:
    """Read `X-Forwarded-Host`.

    Parameters
    ----------
    text : str
        The header.
    count : int
        Number of trusted proxies, of which the outermost counts where each has added a value; 0 if it is not known, or
        more than there are values, for the first of them.
    """
    return check_authority(_outermost(text, count))


def read_scheme(text: str, count: int) -> str | None:
    """Read `X-Forwarded-Proto`; of several values the same counts as for `read_host`."""
    return _scheme(_outermost(text, count))


def with_port(host: str, scheme: str, text: str, count: int) -> str:
    """Add the port of `X-Forwarded-Port` to an authority that names none, unless it is the scheme's default.

    Parameters
    ----------
    host : str
        A checked authority.
    scheme : str
        Either `http` or `https`.
    text : str
        The header.
    count : int
        Number of trusted proxies, as in `read_host`.
    """
    port = _outermost(text, count)
    if has_port(host) or not _PORT.fullmatch(port) or int(port) == DEFAULT_PORTS[scheme]:
        return host
    return check_authority(f"{host}:{int(port)}") or host


def read_prefix(text: str) -> str:
    """Read `X-Forwarded-Prefix`; where several proxies have taken a prefix away, the outer one's comes first."""
    checked = [check_prefix(each) for each in _values(text)]
    return "" if None in checked else "".join(each or "" for each in checked)


def _hop(pairs: Mapping[str, str]) -> Hop:
    return Hop(_node(pairs.get("for", "")), check_authority(pairs.get("host", "")), _scheme(pairs.get("proto", "")))


def _values(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _outermost(text: str, count: int) -> str:
    values = _values(text)
    return values[-count if 0 < count <= len(values) else 0] if values else ""


def _scheme(text: str) -> str | None:
    scheme = text.lower()
    return scheme if scheme in DEFAULT_PORTS else None


def _node(text: str) -> str | None:
    """Read an address, with or without a port; bare IPv6 addresses too, as `X-Forwarded-For` has them."""
    found = _NODE.fullmatch(text)
    address = read_address((found[1] or found[2]) if found else text)
    return None if address is None else str(address)
