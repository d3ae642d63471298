"""State of the server that handlers share, apart from the services that they declare."""

from dataclasses import dataclass, field

from tornado.web import RequestHandler

from neurdicom.config import Settings
from neurdicom.coordination import SerialThread
from neurdicom.http.proxies import ProxyPolicy
from neurdicom.security.authentication import Authentication


@dataclass(slots=True, kw_only=True)
class HttpContext:
    """State of the server that every handler needs.

    Attributes
    ----------
    settings : Settings
        The server's settings.
    authenticator : Authentication
        Finds the principal of a request.
    started : float
        Monotonic time of the start, in seconds.
    ready : bool
        Whether the server accepts requests.
    proxies : ProxyPolicy
        Whom the server believes of the client's address and of its own.
    under_way : set of RequestHandler
        Handlers that have not answered yet, for which a stopping server waits.
    large_bodies : SerialThread
        Parses bodies of more than a MiB.
    """

    settings: Settings
    authenticator: Authentication
    started: float
    ready: bool = False
    proxies: ProxyPolicy = field(default_factory=ProxyPolicy)
    under_way: set[RequestHandler] = field(default_factory=set)
    large_bodies: SerialThread = field(default_factory=SerialThread)
