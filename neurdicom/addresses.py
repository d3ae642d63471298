"""Addresses of HTTP: authorities, the server's own URL, and the networks of proxies, as settings and headers have them.

Nothing here raises but `ValueError`, and nothing looks a name up.
"""

import ipaddress
import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Default ports of the schemes.
DEFAULT_PORTS = {"http": 80, "https": 443}

_AUTHORITY = re.compile(r"(?P<host>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{0,5}))?")
_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+=:@-]|%[0-9A-Fa-f]{2})+)*")
_LONGEST_PATH = 1024


class PublicUrl(NamedTuple):
    """Absolute URL at which clients reach the server: `scheme://authority` and the path below which its routes lie."""

    scheme: str
    authority: str
    prefix: str = ""


@lru_cache(maxsize=256)  # nearly all requests of a server name the same
def check_authority(text: str) -> str | None:
    """Check `host` or `host:port`, and return it without an empty port; None where it is no such thing.

    Names have letters, digits, dots, hyphens and underscores; IPv6 addresses stand in brackets (RFC 3986 3.2.2).
    """
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    host, port = found["host"], found["port"]
    if host.startswith("[") and not _is_address(host[1:-1]):
        return None
    if not port:
        return host
    return f"{host}:{port}" if 1 <= int(port) <= 65535 else None


def has_port(authority: str) -> bool:
    """Tell whether a checked authority names a port."""
    return re.search(r":[0-9]+\Z", authority) is not None


def check_prefix(text: str) -> str | None:
    """Check the path below which a proxy serves this server, and return it without a slash at its end; None if wrong.

    Segments are neither empty nor dots, so that a prefix never changes the host of a URL, or leaves its own place.
    """
    path = text.rstrip("/")
    if len(path) > _LONGEST_PATH or not _PATH.fullmatch(path):
        return None
    return None if {".", ".."} & {unquote(each) for each in path.split("/")} else path


def read_address(text: str) -> Address | None:
    """Read an IP address, without its zone, and as IPv4 where it is one that is mapped to IPv6; None if it is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def read_networks(text: str) -> tuple[Network, ...]:
    """Read addresses and networks that are separated by commas. Raises `ValueError` naming the one that is wrong."""
    found: list[Network] = []
    for each in filter(None, map(str.strip, text.split(","))):
        try:
            found.append(ipaddress.ip_network(each, strict=False))
        except ValueError as error:
            raise ValueError(
                f"{each!r} is no address and no network; such as 10.0.0.5, 10.0.0.0/8 or fd00::/8 are expected"
            ) from error
    return tuple(found)


def read_public_url(text: str) -> PublicUrl:
    """Read the URL at which clients reach the server. Raises `ValueError` that says what is expected."""
    expected = "an absolute URL such as https://pacs.example.org or https://example.org/pacs is expected"
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise ValueError(expected) from error
    authority, prefix = check_authority(parts.netloc), check_prefix(parts.path)
    if parts.scheme not in DEFAULT_PORTS or authority is None or "?" in text or "#" in text:
        raise ValueError(f"{expected}, without user, query and fragment")
    if prefix is None:
        raise ValueError(f"{expected}; its path has characters or segments that no prefix may have")
    return PublicUrl(parts.scheme, authority, prefix)


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
