"""The run of a processing job, on a running server or in the folder of a stopped one, shown until its end."""

import asyncio
import json
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from neurdicom.cli.connection import explained
from neurdicom.cli.console import JobBar, JobLines, JobView
from neurdicom.cli.endpoint import Endpoint
from neurdicom.cli.jobs import ProcessingJobs, ServerJobs
from neurdicom.config import load_settings
from neurdicom.errors import NeurdicomError, Unavailable
from neurdicom.plugins.params import convert_arguments
from neurdicom.plugins.tools import ToolType

#: Exit statuses: a run failed; the job was cancelled.
FAILED, CANCELLED = 1, 130


async def run_job(
    place: Endpoint | Path,
    config: Path | None,
    tool: tuple[ToolType, str],
    request: dict[str, Any],
    texts: Mapping[str, list[str]],
    *,
    as_json: bool,
) -> int:
    """Make a job and show it until its end.

    Parameters
    ----------
    place : Endpoint or Path
        A running server, or the data folder of a stopped one.
    config : Path or None
        Settings file for the folder of a stopped server.
    tool : (str, str)
        Type and id of the plugin or the model.
    request : dict
        Body of `POST /api/process`, without parameters.
    texts : Mapping[str, list of str]
        Values of the parameters as typed on the command line.
    as_json : bool
        Print lines of JSON instead of a bar.

    Returns
    -------
    int
        Exit status: 0, `FAILED` or `CANCELLED`.

    Raises
    ------
    NeurdicomError
        The server refuses or does not respond, or a parameter is wrong.
    """
    if isinstance(place, Endpoint):
        with explained(place):
            return await _run(ServerJobs(place.url, place.token), tool, request, texts, as_json=as_json)
    from neurdicom.cli.folder_jobs import FolderJobs  # imports the whole server

    jobs = await FolderJobs.open(load_settings(config, data=place, dimse_port=0))
    return await _run(jobs, tool, request, texts, as_json=as_json)


async def _run(
    jobs: ProcessingJobs,
    tool: tuple[ToolType, str],
    request: dict[str, Any],
    texts: Mapping[str, list[str]],
    *,
    as_json: bool,
) -> int:
    try:
        params = convert_arguments(await jobs.params(*tool), texts, {})
        return await _watch(jobs, request | {"params": params}, JobLines() if as_json else JobBar())
    finally:
        await jobs.close()


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
        with suppress(NeurdicomError):  # the job may have ended, or the server be gone: the stream of events shows it
            await jobs.cancel(job["id"])

    def interrupted() -> None:
        if cancelling:
            watching.cancel()
        else:
            view.note("cancelling the job; press Ctrl-C again to exit without waiting")
            cancelling.append(loop.create_task(cancel()))

    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        with view:
            async for event in jobs.follow(job["id"]):
                view.take(event)
                if event.type == "end":
                    return _status(event.data)
        raise Unavailable(f"the events of job {job['id']} ended before the job did")
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
