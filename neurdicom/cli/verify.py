"""The command `neurdicom verify`: a check of all stored files, in a data folder or by a running server."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from neurdicom.cli.backup import USED_BY_BACKUP, show_progress
from neurdicom.cli.endpoint import find_endpoint
from neurdicom.cli.options import server_options, setting_options, settings_from
from neurdicom.config import log_ignored_variables
from neurdicom.data_folder import require_data_folder
from neurdicom.errors import Invalid, NeurdicomError

#: Options that choose a data folder rather than a server.
_OF_FOLDERS = ("data", "mongodb_uri", "config")


@click.command()
@server_options
@click.option(
    "--rate",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="MIB",
    help="Most MiB to read in a second.  [default: no limit]",
)
@click.option("--repair", is_flag=True, help="Put the received bytes back where the trash, --from or --node has them.")
@click.option(
    "--from",
    "folders",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FOLDER",
    help="Folder of `neurdicom backup`, or of DICOM files, to repair from. May be repeated.",
)
@click.option(
    "--node",
    "nodes",
    multiple=True,
    metavar="NAME",
    help="DICOMweb node of the server to repair from. May be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@partial(setting_options, shown=USED_BY_BACKUP)
@click.pass_context
def verify(
    context: click.Context,
    /,
    server: str | None,
    token: str | None,
    rate: float,
    repair: bool,
    folders: tuple[Path, ...],
    nodes: tuple[str, ...],
    as_json: bool,
    config: Path | None,
    **given: Any,
) -> None:
    """Compare all stored files with the SHA-256 of what was received, while the server runs or is stopped.

    With --server (or NEURDICOM_SERVER, or `neurdicom login`), the server does it as a job. With --data, this command
    does: run it as the server's user. Each file that is missing, cut off, changed or swapped is named, also in the
    trash, and so is one that no instance has, which stays. The server gives none of them out from then on. With
    --repair, a file is put back from wherever the same SHA-256 is: the trash, earlier versions, then --from and --node.

    The exit status is 1 if anything was found, also if it was repaired.
    """
    if not repair and (folders or nodes):
        raise Invalid("--from and --node repair; give --repair with them")
    if (endpoint := _endpoint(context, server, token)) is not None:
        report = _verify_server(endpoint.url, endpoint.token, rate, folders, nodes if repair else None)
    else:
        settings = settings_from(config, given)
        log_ignored_variables()
        require_data_folder(settings.data)
        from neurdicom.app.verify import verify_folder

        with show_progress("checked") as progress:
            report = asyncio.run(
                verify_folder(settings, rate=rate, repair=repair, folders=folders, nodes=nodes, progress=progress)
            ).to_api()
    _show(report, as_json=as_json)
    context.exit(1 if report["damaged"] or report["unknown"] else 0)


def _endpoint(context: click.Context, server: str | None, token: str | None) -> Any:
    """Choose the server; None for a data folder. The command line overrides the environment and the stored login."""

    def is_typed(name: str) -> bool:
        return context.get_parameter_source(name) is ParameterSource.COMMANDLINE

    is_folder = any(map(is_typed, _OF_FOLDERS))
    if is_typed("server") and is_folder:
        raise Invalid("both --server and a data folder are given; one of them is expected")
    return None if is_folder else find_endpoint(server, token)


def _verify_server(
    url: str, token: str | None, rate: float, folders: Sequence[Path], nodes: Sequence[str] | None
) -> dict[str, Any]:
    """Have a server check its files, and upload those that folders have instead of damaged ones.

    Parameters
    ----------
    url, token : str
        Of the server.
    rate : float
        MiB that it reads in a second; 0 for no limit.
    folders : sequence of Path
        Folders that may have the bytes of damaged files.
    nodes : sequence of str, or None
        Names of nodes that may have them; None where nothing is repaired.
    """
    from neurdicom.archive.verify.repair import FolderSource
    from neurdicom.cli.connection import connected

    sources = [FolderSource(folder) for folder in folders]
    with connected(url, token) as client, show_progress("checked") as progress:
        job = client.storage.verify(rate=rate, repair=nodes is not None, repair_from=nodes or ())
        for event in client.jobs.follow(job["id"]):
            if event.type in ("progress", "end"):
                job = event.data
                progress(job["done"] + job["failed"], job["total"])
        if "files" not in job["results"]:
            reasons = "; ".join(str(each["reason"]) for each in job["errors"])
            raise NeurdicomError(f"the job {job['id']} is {job['state']}: {reasons or 'it was cancelled'}")
        report: dict[str, Any] = {
            name: job["results"][name]
            for name in ("began", "files", "bytes", "damaged", "repaired", "unknown", "findings")
        }
        if job["state"] == "cancelled" or any(each["code"] != "damaged" for each in job["errors"]):
            raise NeurdicomError(f"the job {job['id']} did not check all files: {job['errors'] or job['state']}")
        if sources:
            _upload(client, report, sources)
        return report


def _upload(client: Any, report: dict[str, Any], sources: Sequence[Any]) -> None:
    """Upload files that have the SHA-256 of damaged ones, page by page, as long as that heals some."""
    named = {finding["file"]: finding for finding in report["findings"]}
    while True:
        healed = 0
        for damage in client.storage.get()["damaged"]["files"]:
            if damage["entry"] is not None:  # an upload would be stored beside it
                continue
            for source in sources:
                path = source.find(damage["expected"]["size"], damage["expected"]["sha256"])
                if path is not None and any(each.get("healed") for each in client.instances.upload(path)):
                    named.get(damage["file"], {})["repaired"] = source.name
                    report["repaired"] += 1
                    healed += 1
                    break
        if not healed:
            return


def _show(report: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    from neurdicom.archive.verify.verification import describe_finding

    for finding in report["findings"]:
        click.echo(describe_finding(finding))
    rest = report["damaged"] + report["unknown"] - len(report["findings"])
    if rest > 0:
        click.echo(f"and {rest} more, which the log has")
    click.echo(
        f"{report['files']} files ({report['bytes'] / 1e6:.1f} MB): {report['damaged']} damaged, "
        f"{report['repaired']} of them repaired, {report['unknown']} that no instance has"
    )
