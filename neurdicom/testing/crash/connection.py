"""A client of the server under test that tells a lost server from a wrong answer."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

#: Seconds after which a request that is not answered is a fault of the server.
SECONDS = 60.0


class ServerLost(Exception):
    """The connection broke, or there is none: the server was killed, and the request may have been done or not."""


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """An answer.

    Attributes
    ----------
    status : int
        HTTP status.
    headers : Mapping[str, str]
        Headers by name in lower case.
    body : bytes
        The body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Parse the body."""
        return json.loads(self.body)


class ServerConnection:
    """Connection to a server, opened anew when it is lost; for one thread.

    Parameters
    ----------
    url : str
        Such as `http://127.0.0.1:8080`.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._http = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=SECONDS)

    def request(
        self, method: str, path: str, body: bytes | object = None, content_type: str = "application/json"
    ) -> ServerAnswer:
        """Send a request, and wait for the whole answer.

        Parameters
        ----------
        method : str
            Method of HTTP.
        path : str
            Path and query.
        body : bytes or object
            The body; what is no bytes is sent as JSON.
        content_type : str
            Its media type.

        Returns
        -------
        ServerAnswer
            Of whatever status.

        Raises
        ------
        ServerLost
            The server was killed.
        TimeoutError
            The server lives, and does not answer.
        """
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            self._http.request(method, path, data, {"Content-Type": content_type} if data is not None else {})
            answer = self._http.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return ServerAnswer(answer.status, headers, answer.read())
        except TimeoutError:
            self.close()
            raise
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ServerLost(f"{method} {path}: {error!r}") from error

    def get(self, path: str) -> ServerAnswer:
        """Send a GET."""
        return self.request("GET", path)

    def pages(self, path: str) -> list[dict[str, Any]]:
        """Get all items of a list; its count is that of the first page. Raises `AssertionError` where they differ."""
        items: list[dict[str, Any]] = []
        while True:
            answer = self.get(f"{path}{'&' if '?' in path else '?'}limit=1000&offset={len(items)}")
            if answer.status != http.client.OK:
                raise AssertionError(f"GET {path}: {answer.status} {answer.body[:300]!r}")
            page = answer.json()
            items += page
            total = int(answer.headers["x-total-count"])
            if len(items) >= total or not page:
                if len(items) != total:
                    raise AssertionError(f"GET {path} lists {len(items)}, and X-Total-Count is {total}")
                return items

    def close(self) -> None:
        """Close it. Idempotent."""
        self._http.close()
