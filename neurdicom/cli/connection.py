"""Connections of commands to a server, and one wording for tokens that it refuses and servers that don't answer."""

from collections.abc import Iterator
from contextlib import contextmanager

from neurdicom.cli.endpoint import DEFAULT_SERVER, Endpoint, find_endpoint
from neurdicom.client import Client, ServerAway
from neurdicom.errors import Invalid, NeurdicomError, Unauthenticated

_HOW_TO_SIGN_IN = (
    "give one with --token or NEURDICOM_TOKEN, or keep one with `neurdicom login`; "
    "`neurdicom user token EMAIL` makes one where the server's data folder is"
)
_NAME_A_SERVER = (
    "is it running there? `neurdicom serve` starts one; --server, NEURDICOM_SERVER or `neurdicom login` names another"
)


@contextmanager
def connected(server: str | None, token: str | None) -> Iterator[Client]:
    """Open a client of the server that the options, the environment or `neurdicom login` name.

    Parameters
    ----------
    server, token : str or None
        Of the options or the environment.

    Yields
    ------
    Client
        Open; what it raises is explained.

    Raises
    ------
    NeurdicomError
        The server refuses or does not answer.
    """
    endpoint = find_endpoint(server, token) or Endpoint(DEFAULT_SERVER, token or None)
    with explained(endpoint), Client(endpoint.url, endpoint.token) as client:
        try:
            yield client
        except Invalid as error:  # the server's word; what was typed is right, and the status is 1
            raise NeurdicomError(str(error)) from error


@contextmanager
def explained(endpoint: Endpoint) -> Iterator[None]:
    """Say what to do about a refused token and a server that does not answer.

    Parameters
    ----------
    endpoint : Endpoint
        The server, and the token that it gets.

    Raises
    ------
    Unauthenticated
        The server needs a token, or takes another one.
    ServerAway
        Nothing answers there, or no NeurDICOM server.
    """
    try:
        with reached():
            yield
    except Unauthenticated as error:
        found = "does not take this token" if endpoint.token else "needs a token"
        raise Unauthenticated(f"{endpoint.url} {found}; {_HOW_TO_SIGN_IN}") from error


@contextmanager
def reached() -> Iterator[None]:
    """Say what to do about a server that does not answer. Raises `ServerAway`."""
    try:
        yield
    except ServerAway as error:
        raise ServerAway(f"{error}; {_NAME_A_SERVER}") from error
