"""`neurdicom process`: a plugin or a model on whatever is selected, as a job that is watched to its end."""

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from neurdicom.archive.selection import MANY
from neurdicom.cli.endpoint import Endpoint, find_endpoint
from neurdicom.cli.options import config_option, server_options
from neurdicom.data_folder import require_data_folder
from neurdicom.errors import Invalid
from neurdicom.plugins.tools import ToolType
from neurdicom.processing.run import FORMATS


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
@server_options
@click.option("--data", type=click.Path(path_type=Path), help="Data folder of a stopped server instead.")
@config_option
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
    """Run a plugin or a model on what is selected, and watch the job.

    PLUGIN is its id. Ctrl-C cancels the job; a second one leaves at once.

    The exit status is 0 when all went well, 1 when something failed, 2 when the request is wrong, 130 when the job was
    cancelled.
    """
    place = _place(context, server, token, data)
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
    from neurdicom.cli.watch import run_job  # brings the client, and rich

    context.exit(asyncio.run(run_job(place, config, (tool_type, tool), request, texts, as_json=as_json)))


def _place(context: click.Context, server: str | None, token: str | None, data: Path | None) -> Endpoint | Path:
    """Choose the server or the folder: what is typed goes over the environment, that over what `login` kept."""
    is_typed = context.get_parameter_source("server") is ParameterSource.COMMANDLINE
    if data is not None and not is_typed:
        require_data_folder(data)
        return data
    endpoint = find_endpoint(server, token)
    if data is not None or endpoint is None:
        raise Invalid("--server or --data is expected: a running server, or the folder of a stopped one")
    return endpoint


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
