"""The commands `neurdicom user add`, `passwd`, `list` and `token`: accounts, also while the server runs."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from neurdicom.catalog.documents import Documents
from neurdicom.cli.storage import ask_secret, catalog_options, pass_settings, run_with_documents
from neurdicom.config import Settings
from neurdicom.security.access import Principal

if TYPE_CHECKING:
    from neurdicom.security.users import UserService  # its import takes longer than `--help`

ResultT = TypeVar("ResultT")

#: Author of changes made by these commands: whoever can write the data folder may do everything.
_COMMAND_LINE = Principal(id="command-line", email="command line", is_admin=True)


@click.group()
@catalog_options
@click.pass_context
def user(context: click.Context, /, **options: Any) -> None:
    """Manage users, and tokens of programs. A running server applies a change within seconds."""
    context.obj = options


@user.command()
@click.argument("email")
@click.option("--name", default="", help="First name.")
@click.option("--surname", default="", help="Surname.")
@click.option("--admin", is_flag=True, help="Make the user an administrator, who may manage users and plugins.")
@pass_settings
def add(settings: Settings, email: str, name: str, surname: str, admin: bool) -> None:
    """Add a user; prompts for the password, or reads it from standard input."""
    fields = {
        "email": email,
        "name": name,
        "surname": surname,
        "is_admin": admin,
        "password": ask_secret("Password", confirm=True),
    }
    added = _run(settings, lambda users: users.add(fields))
    click.echo(f"added {added['email']} ({added['id']})")


@user.command()
@click.argument("email")
@pass_settings
def passwd(settings: Settings, email: str) -> None:
    """Change a user's password and end the user's sessions; prompts for it, or reads it from standard input."""
    password = ask_secret("Password", confirm=True)

    async def change(users: "UserService") -> dict[str, Any]:
        account = await users.find_by_email(email)
        return await users.change(account["id"], {"password": password}, by=_COMMAND_LINE)

    click.echo(f"changed the password of {_run(settings, change)['email']}")


@user.command("list")
@pass_settings
def list_users(settings: Settings) -> None:
    """List the users: email address, role, name and id, separated by tabs."""
    for each in _run(settings, lambda users: users.list()):
        role = "admin" if each["is_admin"] else "user"
        click.echo("\t".join((each["email"], role, f"{each['name']} {each['surname']}".strip(), each["id"])))


@user.command()
@click.argument("email")
@click.option(
    "--days",
    type=click.FloatRange(min=0, min_open=True),
    help="Days until the token expires; it does not expire by default.",
)
@click.option("--revoke", is_flag=True, help="Revoke all tokens of the user and end all sessions instead.")
@pass_settings
def token(settings: Settings, email: str, days: float | None, revoke: bool) -> None:
    """Make a token for a program that acts as the user, and print it; it can't be shown again."""

    async def make(users: "UserService") -> str:
        account = await users.find_by_email(email)
        if revoke:
            return f"revoked {await users.revoke_tokens(account['id'])} tokens and sessions of {account['email']}"
        return await users.make_token(account["id"], lifetime=None if days is None else days * 86400)

    click.echo(_run(settings, make))


def _run(settings: Settings, work: Callable[["UserService"], Awaitable[ResultT]]) -> ResultT:
    from neurdicom.security.users import UserService

    async def run(documents: Documents) -> ResultT:
        users = UserService(documents, settings.data, session_seconds=settings.session_hours * 3600)
        try:
            return await work(users)
        finally:
            await users.close()

    return run_with_documents(settings, run)
