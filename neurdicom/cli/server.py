"""`neurdicom plugin install | list | remove`: the plugins of a running server."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from neurdicom.errors import NeurdicomError, Unavailable

if TYPE_CHECKING:
    import httpx

#: Seconds for an answer: an upload loads the plugin, which may take as long as its time limit.
_PATIENCE = 300.0


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--server` and `--token`; it gets an open client as its first argument."""

    @click.option(
        "--server", envvar="NEURDICOM_SERVER", default="http://localhost:8080", show_default=True, metavar="URL"
    )
    @click.option("--token", envvar="NEURDICOM_TOKEN", help="A bearer token (better: in the environment).")
    @wraps(command)
    def run(server: str, token: str | None, **given: Any) -> Any:
        import httpx

        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with httpx.Client(base_url=server.rstrip("/"), headers=headers, timeout=_PATIENCE) as client:
            return command(client, **given)

    return run


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@server_options
def install(client: "httpx.Client", path: Path) -> None:
    """Install the plugin at PATH, a folder or an archive, on a running server; it replaces an older version."""
    with _archive(path) as archive, archive.open("rb") as file:
        headers = {"Content-Type": "application/zip", "Content-Length": str(archive.stat().st_size)}
        installed = _ask(client, "POST", "/api/plugins", content=file, headers=headers)
    click.echo(f"installed {installed['name']} {installed['version']} ({installed['id']})")


@click.command("list")
@server_options
def list_plugins(client: "httpx.Client") -> None:
    """List the plugins of a running server: id, name, version, kind and state, separated by tabs."""
    for each in _pages(client):
        click.echo("\t".join(str(each[field] or "") for field in ("id", "name", "version", "kind", "state")))


@click.command()
@click.argument("id")
@server_options
def remove(client: "httpx.Client", id: str) -> None:
    """Remove the plugin of an ID from a running server."""
    _ask(client, "DELETE", f"/api/plugins/{quote(id, safe='')}")
    click.echo(f"removed {id}")


@contextmanager
def _archive(path: Path) -> Iterator[Path]:
    """The archive at a path; of a folder, one that is made for the moment."""
    if not path.is_dir():
        yield path
        return
    from neurdicom.plugins.devtools.packing import pack_folder

    with tempfile.TemporaryDirectory(prefix="neurdicom-") as scratch:
        packed = Path(scratch, "plugin.zip")
        pack_folder(path, packed)
        yield packed


def _pages(client: "httpx.Client") -> Iterator[dict[str, Any]]:
    offset = 0
    while page := _ask(client, "GET", "/api/plugins", params={"offset": offset, "limit": 100, "sort": "name,id"}):
        yield from page
        offset += len(page)


def _ask(client: "httpx.Client", method: str, path: str, **request: Any) -> Any:
    """The answer's JSON; None where there is none.

    Raises
    ------
    Unavailable
        The server does not answer.
    NeurdicomError
        It refuses; the message is its own.
    """
    import httpx

    try:
        answer = client.request(method, path, **request)
    except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise Unavailable(f"{client.base_url} does not answer: {error or type(error).__name__}") from error
    if answer.is_error:
        is_problem = answer.headers.get("Content-Type", "").startswith("application/problem+json")
        detail = answer.json().get("detail") if is_problem else None
        raise NeurdicomError(str(detail or f"{client.base_url} answered {answer.status_code} {answer.reason_phrase}"))
    return answer.json() if answer.content else None
