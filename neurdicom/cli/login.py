"""`neurdicom login | logout`: a server and a token, kept for the commands that talk to a server."""

import sys

import click

from neurdicom.cli.endpoint import DEFAULT_SERVER, Endpoint, endpoint_file, forget_endpoint, keep_endpoint
from neurdicom.errors import Invalid


@click.command()
@click.option(
    "--server",
    envvar="NEURDICOM_SERVER",
    default=DEFAULT_SERVER,
    show_default=True,
    metavar="URL",
    help="The server.  [environment: NEURDICOM_SERVER]",
)
@click.option(
    "--email", metavar="EMAIL", help="Sign in as this user, with a password; the token ends with the session."
)
def login(server: str, email: str | None) -> None:
    """Keep a server and a token for the commands that talk to a server: process, and plugin install, list and remove.

    The token is asked for, or read from standard input: `neurdicom user token EMAIL` makes one. With --email it is the
    user's password that is asked for. The server has to take it before it is kept, in neurdicom/login.json of the
    user's folder of settings (XDG_CONFIG_HOME, or ~/.config), readable by this user alone. --server, --token and the
    variables NEURDICOM_SERVER and NEURDICOM_TOKEN go over what is kept.
    """
    from neurdicom.cli.connection import explained, reached
    from neurdicom.client import Client

    token = _ask(f"Password of {email}" if email else f"Token for {server}")
    if email is not None:
        with reached(), Client(server) as client:
            token = client.sign_in(email, token)["token"]
    endpoint = Endpoint(server, token)
    with explained(endpoint), Client(server, token) as client:
        next(iter(client.plugins.list()), None)  # needs a credential, and no right
    file = keep_endpoint(endpoint)
    click.echo(f"kept {server} and its token in {file}; `neurdicom logout` forgets them")


@click.command()
def logout() -> None:
    """Forget the server and the token that login kept. The token itself stays valid until it expires or is revoked."""
    kept = forget_endpoint()
    if kept is None:
        click.echo(f"nothing was kept in {endpoint_file()}")
    else:
        click.echo(f"forgot {kept.url}; `neurdicom user token EMAIL --revoke` ends a user's tokens on the server")


def _ask(what: str) -> str:
    secret: str = click.prompt(what, hide_input=True) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if not secret:
        raise Invalid(f"nothing was given where this was asked for: {what}")
    return secret
