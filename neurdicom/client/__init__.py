"""The Python client of the REST API, synchronous and asynchronous.

Owns the description of requests, the parsing of responses and event streams, and the connections. May import `errors`
and httpx, and nothing else of this package: it is to be installed without the server.
"""

from neurdicom.client.client import AsyncClient, Client
from neurdicom.client.events import ServerSentEvent
from neurdicom.client.instances import ToolOutput
from neurdicom.client.protocol import ServerAway

__all__ = ["AsyncClient", "Client", "ServerAway", "ServerSentEvent", "ToolOutput"]
