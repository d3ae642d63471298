"""The origin of a browser's request: no other site may act through a user's session."""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from neurdicom.errors import Forbidden

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def check_origin(
    method: str,
    *,
    host: str,
    origin: str | None,
    fetch_site: str | None,
    public: str | None = None,
    trusted: Collection[str] = (),
) -> None:
    """Refuse a state-changing request that a browser sends on behalf of another site.

    For requests whose credential a browser adds by itself: the session cookie, or none with `--no-auth`. The cookie is
    SameSite=Strict already; this also covers a neighbouring subdomain or port. Every current browser sends Origin or
    Sec-Fetch-Site with such a request; a request without both comes from a program, which no site can misuse.

    Parameters
    ----------
    method : str
        HTTP method, in upper case.
    host : str
        The Host header.
    origin, fetch_site : str or None
        The headers Origin and Sec-Fetch-Site. The scheme of the origin does not count, since a proxy may end TLS.
    public : str, optional
        Host and port that the client uses, where a trusted proxy or a setting says so.
    trusted : collection of str
        Other origins, in lower case, whose pages may do so too, since the operator has named them. A `*` among them
        names none.

    Raises
    ------
    Forbidden
        The request comes from another site.
    """
    if method in _SAFE_METHODS:
        return
    if origin is not None:
        own = {host.lower(), (public or host).lower()}
        if _authority(origin) not in own and origin.lower() not in trusted:
            raise Forbidden(
                f"the request comes from a page of {origin}; only pages of {public or host} may change anything here"
            )
    elif fetch_site not in (None, "same-origin", "none"):
        raise Forbidden(f"the request comes from a page of another site ({fetch_site}); use a bearer token instead")


def check_loopback_host(host: str) -> None:
    """Refuse a Host that does not name this machine, such as that of a page which rebinds its name to 127.0.0.1.

    Without authentication only the browser's same-origin policy keeps other sites' pages out, and DNS rebinding evades
    it.

    Raises
    ------
    Forbidden
        Host is no name of this machine.
    """
    name = urlsplit(f"//{host}").hostname if _parses(f"//{host}") else None
    if name == "localhost" or (name is not None and _is_loopback(name)):
        return
    raise Forbidden(
        f"Host is {host!r}; a server that runs with --no-auth answers only to 'localhost', '127.0.0.1' and '[::1]'"
    )


def _authority(origin: str) -> str | None:
    return urlsplit(origin).netloc.lower() or None if _parses(origin) else None


def _parses(url: str) -> bool:
    try:
        urlsplit(url)
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
