"""`neurdicom user add | passwd | list | token`: accounts from the command line, also while the server runs."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from neurdicom.config import Settings, load_settings
from neurdicom.security.access import Principal
from neurdicom.security.users import UserService

Result = TypeVar("Result")

#: Who the records name for what is done here: whoever can read the data folder may do everything.
_COMMAND_LINE = Principal(id="command-line", email="command line", is_admin=True)


@click.group()
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), envvar="NEURDICOM_CONFIG")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Data folder of the server.")
@click.option("--mongodb-uri", help="The server's MongoDB, where it has one.")
@click.pass_context
def user(context: click.Context, config: Path | None, data: Path | None, mongodb_uri: str | None) -> None:
    """Manage users. A running server heeds the change within seconds."""
    context.obj = load_settings(config, data=data, mongodb_uri=mongodb_uri)


@user.command()
@click.argument("email")
@click.option("--name", default="", help="First name.")
@click.option("--surname", default="", help="Surname.")
@click.option("--admin", is_flag=True, help="May manage users and plugins.")
@click.pass_obj
def add(settings: Settings, email: str, name: str, surname: str, admin: bool) -> None:
    """Add a user; the password is asked for, or read from standard input."""
    fields = {"email": email, "name": name, "surname": surname, "is_admin": admin, "password": _ask_password()}
    added = _run(settings, lambda users: users.add(fields))
    click.echo(f"added {added['email']} ({added['id']})")


@user.command()
@click.argument("email")
@click.pass_obj
def passwd(settings: Settings, email: str) -> None:
    """Change a password, asked for or read from standard input; the user's sessions end."""
    password = _ask_password()

    async def change(users: UserService) -> dict[str, Any]:
        account = await users.find_by_email(email)
        return await users.change(account["id"], {"password": password}, by=_COMMAND_LINE)

    click.echo(f"changed the password of {_run(settings, change)['email']}")


@user.command("list")
@click.pass_obj
def list_users(settings: Settings) -> None:
    """List users: address, role, name and id, separated by tabs."""
    for each in _run(settings, lambda users: users.list()):
        role = "admin" if each["is_admin"] else "user"
        click.echo("\t".join((each["email"], role, f"{each['name']} {each['surname']}".strip(), each["id"])))


@user.command()
@click.argument("email")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="Until it expires; never by default.")
@click.option("--revoke", is_flag=True, help="End all of the user's tokens and sessions instead.")
@click.pass_obj
def token(settings: Settings, email: str, days: float | None, revoke: bool) -> None:
    """Make a token for a program that acts as the user, and print it, this once."""

    async def make(users: UserService) -> str:
        account = await users.find_by_email(email)
        if revoke:
            return f"revoked {await users.revoke_tokens(account['id'])} tokens and sessions of {account['email']}"
        return await users.make_token(account["id"], lifetime=None if days is None else days * 86400)

    click.echo(_run(settings, make))


def _run(settings: Settings, work: Callable[[UserService], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        async with _open_users(settings) as users:
            return await work(users)

    return asyncio.run(run())


@asynccontextmanager
async def _open_users(settings: Settings) -> AsyncIterator[UserService]:
    from neurdicom.app import make_catalog  # brings the whole server, which `--help` need not wait for

    if not settings.mongodb_uri:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    catalog = make_catalog(settings)
    try:
        await catalog.open()
        users = UserService(catalog.documents, settings.data, session_seconds=settings.session_hours * 3600)
        try:
            yield users
        finally:
            await users.close()
    finally:
        await catalog.close()


def _ask_password() -> str:
    if sys.stdin.isatty():
        password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return password
    return sys.stdin.readline().rstrip("\r\n")
