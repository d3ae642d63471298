"""The two clients: the same operations, one that blocks and one for asyncio."""

from http import HTTPStatus
from typing import Self

from neurdicom.client.instances import InstancesApi
from neurdicom.client.jobs import JobsApi
from neurdicom.client.operations import ApiResource, TransportT_co, call
from neurdicom.client.packages import PackagesApi
from neurdicom.client.protocol import ApiRequest, JsonObject, read_object
from neurdicom.client.transport import AsyncHttpTransport, HttpTransport


class NeurdicomApi(ApiResource[TransportT_co]):
    """The API of a server, by resources.

    Attributes
    ----------
    instances : InstancesApi
    plugins, models : PackagesApi
    jobs : JobsApi
    """

    def __init__(self, transport: TransportT_co) -> None:
        super().__init__(transport)
        self.instances = InstancesApi(transport)
        self.plugins = PackagesApi(transport, "plugins")
        self.models = PackagesApi(transport, "models")
        self.jobs = JobsApi(transport)

    @call
    def health(self) -> ApiRequest[JsonObject]:
        """Ask whether the server is ready; needs no token.

        Returns
        -------
        dict
            With `ready`; with a valid token, `version`, `catalog`, `uptime` and more.

        Raises
        ------
        Unavailable
            The server does not answer.
        """
        return ApiRequest("GET", "/api/health", read_object, expected=frozenset({HTTPStatus.SERVICE_UNAVAILABLE.value}))

    @call
    def sign_in(self, email: str, password: str) -> ApiRequest[JsonObject]:
        """Sign in; the answer's token is for another client.

        Parameters
        ----------
        email, password : str
            Of a user.

        Returns
        -------
        dict
            With `token`, `expires` and `user`.

        Raises
        ------
        Unauthenticated
            The address or the password is wrong.
        TooManyAttempts
            After failures; `retry_after` tells for how long, in seconds.
        """
        body = {"email": email, "password": password}
        return ApiRequest("POST", "/api/users/auth", read_object, json=body)


class Client(NeurdicomApi[HttpTransport]):
    """A client of a server, to be used as a context manager or closed.

    Parameters
    ----------
    url : str
        The server's, such as `http://localhost:8080`.
    token : str, optional
        A bearer token, such as `neurdicom user token EMAIL` prints.

    Raises
    ------
    Unavailable
        The URL is none.
    Invalid
        The token holds characters that no token has.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        super().__init__(HttpTransport(url, token))

    def close(self) -> None:
        """Close the connections. Idempotent."""
        self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class AsyncClient(NeurdicomApi[AsyncHttpTransport]):
    """A client of a server for asyncio, to be used as an asynchronous context manager or closed.

    Parameters
    ----------
    url, token : str
        As of `Client`.

    Raises
    ------
    Unavailable, Invalid
        As of `Client`.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        super().__init__(AsyncHttpTransport(url, token))

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        await self.transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()
