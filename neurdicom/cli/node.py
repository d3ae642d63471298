"""The commands `neurdicom node add`, `list` and `remove`: DICOM nodes, also while the server runs."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from neurdicom.cli.options import value_completion
from neurdicom.cli.storage import ask_secret, catalog_options, pass_settings, run_with_documents
from neurdicom.config import Settings

if TYPE_CHECKING:
    from neurdicom.nodes.service import NodeService  # imports pydicom, for which `--help` need not wait

ResultT = TypeVar("ResultT")


@click.group()
@catalog_options
@click.pass_context
def node(context: click.Context, /, **options: Any) -> None:
    """Manage DICOM nodes: peers to query, retrieve from and send to.

    A running server applies a change within seconds.
    """
    context.obj = options


@node.command()
@click.argument("name")
@click.option("--ae-title", help="AE title of a DIMSE node.")
@click.option("--host", help="Host name or IP address of a DIMSE node.")
@click.option("--port", type=int, help="TCP port of a DIMSE node.")
@click.option("--tls", is_flag=True, default=None, help="Use TLS with a DIMSE node.")
@click.option("--url", help="Base URL of a DICOMweb node, such as https://pacs.example.org/dicom-web.")
@click.option(
    "--username", help="User name at a DICOMweb node; prompts for its password, or reads it from standard input."
)
@click.option(
    "--token", is_flag=True, help="Prompt for the bearer token of a DICOMweb node, or read it from standard input."
)
@click.option(
    "--retrieve",
    metavar="[C-MOVE|C-GET]",
    help="Service to retrieve with from a DIMSE node; C-MOVE by default.",
    shell_complete=value_completion({"choices": ("C-MOVE", "C-GET")}),
)
@pass_settings
def add(settings: Settings, /, name: str, url: str | None, username: str | None, token: bool, **fields: object) -> None:
    """Add a node: DIMSE with --ae-title, --host and --port, or DICOMweb with --url."""
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
    """List the nodes: name, protocol and address, separated by tabs."""
    for each in _run(settings, lambda nodes: nodes.list()):
        where = each.url or f"{each.ae_title}@{each.host}:{each.port}{' (TLS)' if each.tls else ''}"
        click.echo("\t".join((each.name, each.protocol, where)))


@node.command()
@click.argument("name")
@pass_settings
def remove(settings: Settings, name: str) -> None:
    """Remove a node."""
    _run(settings, lambda nodes: nodes.remove(name))
    click.echo(f"removed {name}")


def _run(settings: Settings, work: Callable[["NodeService"], Awaitable[ResultT]]) -> ResultT:
    from neurdicom.nodes.service import NodeService

    return run_with_documents(settings, lambda documents: work(NodeService(documents)))
