"""`neurdicom node add | list | remove`: DICOM nodes from the command line, also while the server runs."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from neurdicom.cli.storage import ask_secret, catalog_options, pass_settings, run_with_documents
from neurdicom.config import Settings
from neurdicom.nodes.service import NodeService

ResultT = TypeVar("ResultT")


@click.group()
@catalog_options
@click.pass_context
def node(context: click.Context, /, **options: Any) -> None:
    """Manage DICOM nodes: the peers to query, retrieve from and send to. A running server heeds it within seconds."""
    context.obj = options


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
@pass_settings
def add(settings: Settings, /, name: str, url: str | None, username: str | None, token: bool, **fields: object) -> None:
    """Add a node, DIMSE (--ae-title, --host, --port) or DICOMweb (--url)."""
    fields |= {"name": name, "protocol": "DICOMWEB" if url else "DIMSE", "url": url, "username": username}
    if username:
        fields["password"] = ask_secret("Password")
    if token:
        fields["token"] = ask_secret("Token")
    given = {field: value for field, value in fields.items() if value is not None}
    added = _run(settings, lambda nodes: nodes.add(given))
    click.echo(f"added {added.name} ({added.protocol})")


@node.command("list")
@pass_settings
def list_nodes(settings: Settings) -> None:
    """List nodes: name, protocol, and where they are, separated by tabs."""
    for each in _run(settings, lambda nodes: nodes.list()):
        where = each.url or f"{each.ae_title}@{each.host}:{each.port}{' (TLS)' if each.tls else ''}"
        click.echo("\t".join((each.name, each.protocol, where)))


@node.command()
@click.argument("name")
@pass_settings
def remove(settings: Settings, name: str) -> None:
    """Forget a node."""
    _run(settings, lambda nodes: nodes.remove(name))
    click.echo(f"removed {name}")


def _run(settings: Settings, work: Callable[[NodeService], Awaitable[ResultT]]) -> ResultT:
    return run_with_documents(settings, lambda documents: work(NodeService(documents)))
