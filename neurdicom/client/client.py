"""The two clients: the same operations, blocking and for asyncio."""

from http import HTTPStatus
from typing import Self

from neurdicom.client.instances import InstancesApi
from neurdicom.client.jobs import JobsApi
from neurdicom.client.labels import LabelsApi
from neurdicom.client.operations import ApiResource, TransportT_co, call
from neurdicom.client.packages import PackagesApi
from neurdicom.client.protocol import ApiRequest, JsonObject, read_object
from neurdicom.client.storage import StorageApi
from neurdicom.client.transport import AsyncHttpTransport, HttpTransport


class NeurdicomApi(ApiResource[TransportT_co]):
    """The API of a server, by resource.

    Attributes
    ----------
    instances : InstancesApi
        Operations on stored instances.
    plugins, models : PackagesApi
        Operations on installed plugins, and on installed models.
    jobs : JobsApi
        Operations on jobs.
    labels : LabelsApi
        Operations on labels of patients, studies, series and instances.
    storage : StorageApi
        Operations on what is stored.
    """

    def __init__(self, transport: TransportT_co) -> None:
        super().__init__(transport)
        self.instances = InstancesApi(transport)
        self.plugins = PackagesApi(transport, "plugins")
        self.models = PackagesApi(transport, "models")
        self.jobs = JobsApi(transport)
        self.labels = LabelsApi(transport)
        self.storage = StorageApi(transport)

    @call
    def health(self) -> ApiRequest[JsonObject]:
        """Get the state of the server; needs no token.

        Returns
        -------
        dict
            With `ready`; with a valid token also `version`, `catalog`, `uptime` and more.

        Raises
        ------
        Unavailable
            The server does not respond.
        """
        return ApiRequest("GET", "/api/health", read_object, expected=frozenset({HTTPStatus.SERVICE_UNAVAILABLE.value}))

    @call
    def sign_in(self, email: str, password: str) -> ApiRequest[JsonObject]:
        """Sign in as a user; pass the returned token to a new client.

        Parameters
        ----------
        email, password : str
            Credentials of the user.

        Returns
        -------
        dict
            With `token`, `expires` and `user`.

        Raises
        ------
        Unauthenticated
            The email address or the password is wrong.
        TooManyAttempts
            Earlier attempts failed; `retry_after` is the time to wait in seconds.
        """
        body = {"email": email, "password": password}
        return ApiRequest("POST", "/api/users/auth", read_object, json=body)


class Client(NeurdicomApi[HttpTransport]):
    """A blocking client of a server; close it, or use it as a context manager.

    Parameters
    ----------
    url : str
        URL of the server, such as `http://localhost:8080`.
    token : str, optional
        A bearer token, such as `neurdicom user token EMAIL` prints.

    Raises
    ------
    Unavailable
        The URL is not valid.
    Invalid
        The token contains characters that a token can't have.
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
    """A client of a server for asyncio; close it, or use it as an asynchronous context manager.

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
