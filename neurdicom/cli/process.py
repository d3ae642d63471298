"""`neurdicom process`: a plugin or a model on whatever is selected, as a job that is watched to its end."""

import asyncio
import json
import signal
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from neurdicom.archive.selection import MANY
from neurdicom.cli.console import JobBar, JobLines, JobView
from neurdicom.cli.jobs import ProcessingJobs, ServerJobs
from neurdicom.config import load_settings
from neurdicom.errors import Invalid, NeurdicomError, Unavailable
from neurdicom.plugins.params import convert_arguments
from neurdicom.plugins.tools import ToolType
from neurdicom.processing.run import FORMATS

#: Exit statuses: something failed; the job was cancelled.
FAILED, CANCELLED = 1, 130


@click.command()
@click.argument("tool", metavar="PLUGIN")
@click.option("--model", "is_model", is_flag=True, help="PLUGIN is the id of a model.")
@click.option(
    "--on",
    "ids",
    type=(click.Choice(list(MANY)), str),
    multiple=True,
    metavar="LEVEL UID",
    help=f"An entity, of {', '.join(MANY)}; may be repeated.",
)
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="FIELD=VALUE",
    help="What is stored and meets this, as in the lists; all of several have to be met.",
)
@click.option("--level", type=click.Choice(list(MANY)), help="Whose filters these are; instances by default.")
@click.option("--all", "everything", is_flag=True, help="All that is stored.")
@click.option("-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter of the plugin.")
@click.option("--frame", type=click.IntRange(min=1), help="One frame of each instance; all by default.")
@click.option("--format", "form", type=click.Choice([*FORMATS, "dicom"]), default="png", show_default=True)
@click.option("--store", is_flag=True, help="Keep the results as DICOM instances.")
@click.option("--no-cache", is_flag=True, help="Compute what was computed before, too.")
@click.option("--dry-run", is_flag=True, help="Tell what the job would do.")
@click.option("--server", envvar="NEURDICOM_SERVER", metavar="URL", help="A running server.")
@click.option("--token", envvar="NEURDICOM_TOKEN", help="A token for it (better: in the environment).")
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), envvar="NEURDICOM_CONFIG")
@click.option(
    "--data", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of a stopped server instead."
)
@click.option("--json", "as_json", is_flag=True, help="Print each result, failure and the end as a line of JSON.")
@click.pass_context
def process(
    context: click.Context,
    /,
    tool: str,
    is_model: bool,
    ids: tuple[tuple[str, str], ...],
    filters: tuple[str, ...],
    level: str | None,
    everything: bool,
    params: tuple[str, ...],
    server: str | None,
    token: str | None,
    config: Path | None,
    data: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Run PLUGIN on what is selected, and watch the job. Ctrl-C cancels it; a second one leaves at once.

    The exit status is 0 when all went well, 1 when something failed, 2 when the request is wrong, 130 when the job was
    cancelled.
    """
    if (server is None) == (data is None):
        raise Invalid("--server or --data is expected: a running server, or the folder of a stopped one")
    tool_type: ToolType = "model" if is_model else "plugin"
    request: dict[str, Any] = {
        tool_type: tool,
        "format": options["form"],
        "store": options["store"],
        "cache": not options["no_cache"],
        "frame": options["frame"] or "all",
        "dry_run": options["dry_run"],
    }
    request |= _selected(ids, filters, level, everything=everything)
    texts = _pairs(params, "param")
    view = JobLines() if as_json else JobBar()

    async def run() -> int:
        jobs = await _open(server, token, data, config)
        try:
            taken = await jobs.params(tool_type, tool)
            return await _watch(jobs, request | {"params": convert_arguments(taken, texts, {})}, view)
        finally:
            await jobs.close()

    context.exit(asyncio.run(run()))


async def _open(server: str | None, token: str | None, data: Path | None, config: Path | None) -> ProcessingJobs:
    if server is not None:
        return ServerJobs(server, token)
    from neurdicom.cli.folder_jobs import FolderJobs  # brings the whole server

    return await FolderJobs.open(load_settings(config, data=data, dimse_port=0))


async def _watch(jobs: ProcessingJobs, request: dict[str, Any], view: JobView) -> int:
    job = await jobs.submit(request)
    if request["dry_run"]:
        click.echo(json.dumps(job))
        return 0
    loop = asyncio.get_running_loop()
    watching = asyncio.current_task()
    assert watching is not None
    cancelling: list[asyncio.Task[None]] = []

    async def cancel() -> None:
        with suppress(NeurdicomError):  # the job may be over, and the server away: the stream tells
            await jobs.cancel(job["id"])

    def interrupted() -> None:
        if cancelling:
            watching.cancel()
        else:
            view.note("cancelling; once more leaves at once")
            cancelling.append(loop.create_task(cancel()))

    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        with view:
            async for event in jobs.follow(job["id"]):
                view.take(event)
                if event.type == "end":
                    return _status(event.data)
        raise Unavailable(f"the job {job['id']} is not told of any more")
    except asyncio.CancelledError:
        return CANCELLED
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        for task in cancelling:
            task.cancel()


def _status(job: Mapping[str, Any]) -> int:
    if job["state"] == "cancelled":
        return CANCELLED
    return FAILED if job["failed"] or job["state"] == "failed" else 0


def _selected(
    ids: tuple[tuple[str, str], ...], filters: tuple[str, ...], level: str | None, *, everything: bool
) -> dict[str, Any]:
    if sum((bool(ids), bool(filters), everything)) != 1:
        raise Invalid("--on, --filter or --all is expected, and one of them: what the plugin is to run on")
    if ids:
        selected: dict[str, list[str]] = defaultdict(list)
        for name, uid in ids:
            selected[name].append(uid)
        return dict(selected)
    return {"filters": _pairs(filters, "filter")} | ({"level": level} if level else {})


def _pairs(given: tuple[str, ...], option: str) -> dict[str, list[str]]:
    pairs: dict[str, list[str]] = defaultdict(list)
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise Invalid(f"{each!r} is not NAME=VALUE", field=option)
        pairs[name].append(value)
    return dict(pairs)
