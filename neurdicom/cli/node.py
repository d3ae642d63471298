"""`neurdicom node add | list | remove`: DICOM nodes from the command line, also while the server runs."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from neurdicom.config import Settings, load_settings
from neurdicom.nodes.service import NodeService

Result = TypeVar("Result")


@click.group()
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), envvar="NEURDICOM_CONFIG")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Data folder of the server.")
@click.option("--mongodb-uri", help="The server's MongoDB, where it has one.")
@click.pass_context
def node(context: click.Context, config: Path | None, data: Path | None, mongodb_uri: str | None) -> None:
    """Manage DICOM nodes: the peers to query, retrieve from and send to. A running server heeds it within seconds."""
    context.obj = load_settings(config, data=data, mongodb_uri=mongodb_uri)


@node.command()
@click.argument("name")
@click.option("--ae-title", help="AE title of a DIMSE node.")
@click.option("--host", help="Its address.")
@click.option("--port", type=int, help="Its TCP port.")
@click.option("--tls", is_flag=True, default=None, help="Talk TLS with it.")
@click.option("--url", help="Base of a node's DICOMweb services instead, such as https://pacs.example.org/dicom-web.")
@click.option("--username", help="For it; the password is asked for, or read from standard input.")
@click.option("--token", is_flag=True, help="Ask for its bearer token, or read that from standard input.")
@click.option("--retrieve", help="C-MOVE (default) or C-GET, of a DIMSE node.")
@click.pass_obj
def add(settings: Settings, /, name: str, url: str | None, username: str | None, token: bool, **fields: object) -> None:
    """Add a node, DIMSE (--ae-title, --host, --port) or DICOMweb (--url)."""
    fields |= {"name": name, "protocol": "DICOMWEB" if url else "DIMSE", "url": url, "username": username}
    if username:
        fields["password"] = _ask("Password")
    if token:
        fields["token"] = _ask("Token")
    given = {field: value for field, value in fields.items() if value is not None}
    added = _run(settings, lambda nodes: nodes.add(given))
    click.echo(f"added {added.name} ({added.protocol})")


@node.command("list")
@click.pass_obj
def list_nodes(settings: Settings) -> None:
    """List nodes: name, protocol, and where they are, separated by tabs."""
    for each in _run(settings, lambda nodes: nodes.list()):
        where = each.url or f"{each.ae_title}@{each.host}:{each.port}{' (TLS)' if each.tls else ''}"
        click.echo("\t".join((each.name, each.protocol, where)))


@node.command()
@click.argument("name")
@click.pass_obj
def remove(settings: Settings, name: str) -> None:
    """Forget a node."""
    _run(settings, lambda nodes: nodes.remove(name))
    click.echo(f"removed {name}")


def _run(settings: Settings, work: Callable[[NodeService], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        from neurdicom.app import make_catalog  # brings the whole server, which `--help` need not wait for

        if not settings.mongodb_uri:
            settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        catalog = make_catalog(settings)
        try:
            await catalog.open()
            return await work(NodeService(catalog.documents))
        finally:
            await catalog.close()

    return asyncio.run(run())


def _ask(what: str) -> str:
    if sys.stdin.isatty():
        secret: str = click.prompt(what, hide_input=True)
        return secret
    return sys.stdin.readline().rstrip("\r\n")
