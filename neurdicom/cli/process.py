"""The command `neurdicom process`: a job that runs a plugin or a model on the selected entities, shown to its end."""

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from neurdicom.cli.endpoint import Endpoint, find_endpoint
from neurdicom.cli.options import FORMATS, LEVELS, config_option, server_options
from neurdicom.data_folder import require_data_folder
from neurdicom.errors import Invalid
from neurdicom.plugins.tools import ToolType


@click.command()
@click.argument("tool", metavar="PLUGIN")
@click.option("--model", "is_model", is_flag=True, help="PLUGIN is the id of a model.")
@click.option(
    "--on",
    "ids",
    type=(click.Choice(LEVELS), str),
    multiple=True,
    metavar="LEVEL UID",
    help=f"Run on an entity: one of {', '.join(LEVELS)}, and its UID or id. May be repeated.",
)
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Run on stored entities that match this filter of the lists. May be repeated; all must match.",
)
@click.option(
    "--level", type=click.Choice(LEVELS), help="Level of the entities that --filter selects; instances by default."
)
@click.option("--all", "everything", is_flag=True, help="Run on all that is stored.")
@click.option(
    "-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="Parameter of the plugin. May be repeated."
)
@click.option("--frame", type=click.IntRange(min=1), help="Frame of each instance; all by default.")
@click.option(
    "--format",
    "form",
    type=click.Choice([*FORMATS, "dicom"]),
    default="png",
    show_default=True,
    help="Format of the results.",
)
@click.option("--store", is_flag=True, help="Keep the results as DICOM instances.")
@click.option("--no-cache", is_flag=True, help="Compute results again that are kept from earlier runs.")
@click.option("--dry-run", is_flag=True, help="Print what the job would do, without running it.")
@server_options
@click.option(
    "--data", type=click.Path(path_type=Path), help="Data folder of a stopped server, to run the job in this process."
)
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print each result, each failure and the end as a line of JSON.")
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
    """Run a plugin or a model on the selected entities, and show the job's progress.

    PLUGIN is the id of the plugin or the model. Ctrl-C cancels the job; a second Ctrl-C exits without waiting.

    The exit status is 0 if all runs succeeded, 1 if some failed, 2 if the request is wrong, and 130 if the job was
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
    from neurdicom.cli.watch import run_job  # imports the client and rich

    context.exit(asyncio.run(run_job(place, config, (tool_type, tool), request, texts, as_json=as_json)))


def _place(context: click.Context, server: str | None, token: str | None, data: Path | None) -> Endpoint | Path:
    """Choose the server or the folder: the command line overrides the environment, which overrides the stored login."""
    is_typed = context.get_parameter_source("server") is ParameterSource.COMMANDLINE
    if data is not None and not is_typed:
        require_data_folder(data)
        return data
    endpoint = find_endpoint(server, token)
    if data is not None:
        raise Invalid("both --server and --data are given; one of them is expected")
    if endpoint is None:
        raise Invalid(
            "--server or --data is required: a running server (NEURDICOM_SERVER or `neurdicom login` name one, too), "
            "or the data folder of a stopped one"
        )
    return endpoint


def _selected(
    ids: tuple[tuple[str, str], ...], filters: tuple[str, ...], level: str | None, *, everything: bool
) -> dict[str, Any]:
    if sum((bool(ids), bool(filters), everything)) != 1:
        raise Invalid("exactly one of --on, --filter and --all is required, to select what the plugin runs on")
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
            raise Invalid(f"--{option} is {each!r}; NAME=VALUE is expected", field=option)
        pairs[name].append(value)
    return dict(pairs)
