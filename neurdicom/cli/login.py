"""The commands `neurdicom login` and `logout`: a stored server and token for the commands that connect to a server."""

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
    help="URL of the server.  [environment: NEURDICOM_SERVER]",
)
@click.option(
    "--email", metavar="EMAIL", help="Sign in as this user with a password; the token expires with the session."
)
def login(server: str, email: str | None) -> None:
    """Store a server and a token for the commands that connect to a server: process, plugin install, list and remove.

    It prompts for the token, or reads it from standard input; `neurdicom user token EMAIL` makes one. With --email it
    prompts for the password of that user instead. Once the server has accepted the token, both are stored in
    neurdicom/login.json of the user's folder of settings (XDG_CONFIG_HOME, or ~/.config), readable by this user only.
    --server, --token and the variables NEURDICOM_SERVER and NEURDICOM_TOKEN override what is stored.
    """
    from neurdicom.cli.connection import explained, reached
    from neurdicom.client import Client

    token = _ask(f"Password of {email}" if email else f"Token for {server}")
    if email is not None:
        with reached(), Client(server) as client:
            token = client.sign_in(email, token)["token"]
    endpoint = Endpoint(server, token)
    with explained(endpoint), Client(server, token) as client:
        next(iter(client.plugins.list()), None)  # requires a credential, but no role
    file = keep_endpoint(endpoint)
    click.echo(f"stored {server} and its token in {file}; `neurdicom logout` deletes them")


@click.command()
def logout() -> None:
    """Delete the stored server and token. The token itself stays valid until it expires or is revoked."""
    kept = forget_endpoint()
    if kept is None:
        click.echo(f"nothing was stored in {endpoint_file()}")
    else:
        click.echo(f"deleted {kept.url}; `neurdicom user token EMAIL --revoke` revokes a user's tokens on the server")


def _ask(what: str) -> str:
    secret: str = click.prompt(what, hide_input=True) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if not secret:
        raise Invalid(f"nothing was entered at the prompt {what!r}")
    return secret
