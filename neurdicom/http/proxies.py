"""What is believed of a request that came through proxies: who its client is, and at what address it asked.

Only trusted peers may say so. Of what they say, the values of the outermost trusted proxy count: what stands before
these was sent by somebody else.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from tornado.httputil import HTTPServerRequest

from neurdicom.addresses import check_authority, read_address, read_networks, read_public_url
from neurdicom.http import forwarded
from neurdicom.http.forwarded import Hop

#: Most peers that are remembered as trusted or not.
_PEERS = 1024


class Reach(NamedTuple):
    """Client of a request, and the address of this server for that client.

    Attributes
    ----------
    client : str
        IP address of the client.
    scheme : str
        Either `http` or `https`.
    authority : str or None
        Host and port; None where the request names none that is valid.
    prefix : str
        Path below which the server's routes lie for the client: empty, or `/` and more without a slash at its end.
    is_direct : bool
        Whether the address is the one of the request's Host header, with no sign of a proxy.
    """

    client: str
    scheme: str
    authority: str | None
    prefix: str = ""
    is_direct: bool = True

    @property
    def url(self) -> str:
        """URL of the server's root, without a slash at its end; only its path where there is no valid authority."""
        return self.prefix if self.authority is None else f"{self.scheme}://{self.authority}{self.prefix}"


class ProxyPolicy:
    """Policy of a server behind proxies: whom it believes.

    Parameters
    ----------
    trusted : str
        Setting `trusted_proxies`: addresses and networks, separated by commas.
    public_url : str
        Setting `public_url`: the URL at which clients reach the server, whatever requests say; none if empty.
    """

    def __init__(self, trusted: str = "", public_url: str = "") -> None:
        self._networks = read_networks(trusted)
        self._public = read_public_url(public_url) if public_url else None
        self._is_trusted = lru_cache(maxsize=_PEERS)(self._is_in_networks)

    @property
    def public_url(self) -> str:
        """The setting `public_url`, without a slash at its end."""
        return "{}://{}{}".format(*self._public) if self._public else ""

    @property
    def prefix(self) -> str:
        """Path of `public_url`."""
        return self._public.prefix if self._public else ""

    def apply(self, request: HTTPServerRequest) -> Reach:
        """Resolve a request, and make its address that of its client."""
        peer = request.remote_ip or ""
        reach = self.resolve(request.headers, peer=peer, scheme=request.protocol, host=request.host)
        request.remote_ip = reach.client
        return reach

    def resolve(self, headers: Mapping[str, str], *, peer: str, scheme: str, host: str) -> Reach:
        """Find who sent a request, and to what address.

        Parameters
        ----------
        headers : mapping of str to str
            The request's headers.
        peer : str
            Address at the other end of the connection.
        scheme : str
            Scheme of the connection.
        host : str
            The Host header.

        Returns
        -------
        Reach
        """
        is_direct = forwarded.HEADERS.isdisjoint(headers)
        reach = Reach(peer, scheme, check_authority(host), is_direct=is_direct)
        if not is_direct and self._is_trusted(peer):
            reach = self._forwarded(headers, reach)
        return reach if self._public is None else Reach(reach.client, *self._public, is_direct=False)

    def _forwarded(self, headers: Mapping[str, str], here: Reach) -> Reach:
        """Put what the headers of a trusted peer say in place of what the connection says."""
        standard = self._believed(forwarded.read_forwarded(headers.get("Forwarded", "")))
        usual = self._believed([Hop(each) for each in forwarded.read_clients(headers.get("X-Forwarded-For", ""))])
        # A proxy that knows the one header passes the other as it comes: where they differ, one may be forged.
        clients = {each for each in (_client(standard), _client(usual)) if each is not None}
        scheme = _first(hop.scheme for hop in standard)
        authority = _first(hop.host for hop in standard)
        scheme = scheme or forwarded.read_scheme(headers.get("X-Forwarded-Proto", ""), len(usual)) or here.scheme
        if authority is None:
            authority = forwarded.read_host(headers.get("X-Forwarded-Host", ""), len(usual)) or here.authority
            if authority is not None:
                port = headers.get("X-Forwarded-Port", "")
                authority = forwarded.with_port(authority, scheme, port, len(usual))
        return Reach(
            client=clients.pop() if len(clients) == 1 else here.client,
            scheme=scheme,
            authority=authority,
            prefix=forwarded.read_prefix(headers.get("X-Forwarded-Prefix", "")),
            is_direct=False,
        )

    def _believed(self, hops: list[Hop]) -> list[Hop]:
        """Return what trusted proxies say, the outermost first: up to the first client that is no trusted proxy."""
        for count, hop in enumerate(reversed(hops), 1):
            if hop.client is None or not self._is_trusted(hop.client):
                return hops[-count:]
        return hops

    def _is_in_networks(self, address: str) -> bool:
        found = read_address(address)
        return found is not None and any(found in network for network in self._networks)


def _client(hops: list[Hop]) -> str | None:
    return _first(hop.client for hop in hops)


def _first(values: Iterable[str | None]) -> str | None:
    return next((each for each in values if each is not None), None)
