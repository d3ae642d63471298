"""Connections of commands to a server, and the advice in errors when it refuses the token or does not respond."""

from collections.abc import Iterator
from contextlib import contextmanager

from neurdicom.cli.endpoint import DEFAULT_SERVER, Endpoint, find_endpoint
from neurdicom.client import Client, ServerAway
from neurdicom.errors import Invalid, NeurdicomError, Unauthenticated

_HOW_TO_SIGN_IN = (
    "give a token with --token or NEURDICOM_TOKEN, or store one with `neurdicom login`; "
    "`neurdicom user token EMAIL`, run where the server's data folder is, makes one"
)
_NAME_A_SERVER = (
    "start one with `neurdicom serve`, or name another with --server, NEURDICOM_SERVER or `neurdicom login`"
)


@contextmanager
def connected(server: str | None, token: str | None) -> Iterator[Client]:
    """Open a client of the server that the options, the environment or `neurdicom login` name.

    Parameters
    ----------
    server, token : str or None
        URL and token from the options or the environment.

    Yields
    ------
    Client
        The open client; errors that it raises say what to do.

    Raises
    ------
    NeurdicomError
        The server refuses a request or does not respond.
    """
    endpoint = find_endpoint(server, token) or Endpoint(DEFAULT_SERVER, token or None)
    with explained(endpoint), Client(endpoint.url, endpoint.token) as client:
        try:
            yield client
        except Invalid as error:  # refused by the server, not by this command line: exit status 1
            raise NeurdicomError(str(error)) from error


@contextmanager
def explained(endpoint: Endpoint) -> Iterator[None]:
    """Add advice to errors about a refused token or a server that does not respond.

    Parameters
    ----------
    endpoint : Endpoint
        The server, and the token sent to it.

    Raises
    ------
    Unauthenticated
        The server requires a token, or refuses this one.
    ServerAway
        No server responds at the URL, or it is not a NeurDICOM server.
    """
    try:
        with reached():
            yield
    except Unauthenticated as error:
        found = "refuses this token" if endpoint.token else "requires a token"
        raise Unauthenticated(f"{endpoint.url} {found}; {_HOW_TO_SIGN_IN}") from error


@contextmanager
def reached() -> Iterator[None]:
    """Add advice to errors about a server that does not respond. Raises `ServerAway`."""
    try:
        yield
    except ServerAway as error:
        raise ServerAway(f"{error}; {_NAME_A_SERVER}") from error
