"""The commands `neurdicom serve`, `check-config` and `reindex`: the server, its settings and its catalog."""

import asyncio
import json
import logging
import signal
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click

from neurdicom import __version__
from neurdicom.cli.options import setting_options, settings_from
from neurdicom.config import Settings, log_ignored_variables
from neurdicom.data_folder import make_data_folder, require_data_folder
from neurdicom.logs import configure_logging

log = logging.getLogger(__name__)

#: Settings that a reindex uses.
USED_BY_REINDEX = ("data", "mongodb_uri", "log_level", "log_format")

#: Missing and changed files that a reindex prints; the log has all.
_MOST_NAMED = 100


@click.command()
@setting_options
def serve(config: Path | None, **given: Any) -> None:
    """Run the server until SIGTERM or Ctrl-C.

    An option overrides its variable NEURDICOM_<OPTION> in the environment, that overrides the settings file, that
    overrides the default. `neurdicom check-config`, with the same options, prints the resulting settings.
    """
    settings = settings_from(config, given)
    configure_logging(settings.log_level, settings.log_format)
    log_ignored_variables()
    make_data_folder(settings.data)  # before the imports of the server, which take a second
    asyncio.run(run_server(settings))


async def run_server(settings: Settings, *, announce: Callable[[str], None] = click.echo) -> None:
    """Run a server until SIGTERM or SIGINT, and stop it cleanly."""
    from neurdicom.app.server import NeurdicomServer

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, log.info, "SIGHUP ignored: settings are read only when the server starts")
    server = NeurdicomServer(settings)
    try:
        await server.start()
    finally:  # also where the port is taken: the account is made, and the next start has no password to print
        if (first := server.first_sign_in) is not None:
            announce(f"First start: sign in as {first.email} with the one-time password {first.password}")
            announce(f"The password is also in {first.file} until it is changed.")
    if server.dimse_address:
        announce(f"DICOM associations are accepted at {server.dimse_address} as {settings.ae_title}")
    announce(f"NeurDICOM {__version__} is ready at {server.url} (the API's page: {server.url}/api/docs)")
    await stopped.wait()
    await server.stop()


@click.command("check-config")
@setting_options
def check_config(config: Path | None, **given: Any) -> None:
    """Print the settings that a server would run with, or what is wrong with them.

    It reads the same options, environment and settings file as `neurdicom serve`, and prints all settings as JSON. It
    starts nothing and makes no folder; variables NEURDICOM_… that are not settings are listed on standard error. The
    exit status is 2 if a setting is wrong.
    """
    settings = asdict(settings_from(config, given))
    log_ignored_variables()
    if settings["mongodb_uri"]:
        settings["mongodb_uri"] = "(set; not shown, since it may hold a password)"
    click.echo(json.dumps(settings, default=str, indent=2))


@click.command()
@click.option(
    "--quick", is_flag=True, help="Read the headers of files alone, so that files that have changed are not found."
)
@partial(setting_options, shown=USED_BY_REINDEX)
def reindex(config: Path | None, *, quick: bool, **given: Any) -> None:
    """Rebuild the catalog of DICOM instances from the stored files.

    The server must be stopped. Users, nodes, plugins and rules in the catalog are left unchanged; if the catalog was
    lost, only a backup restores them. Files that were in the catalog and are gone are named, and so are those whose
    bytes are not those that were received: these are entered as damaged, and not given out. All options of
    `neurdicom serve` are accepted, so that its command line can be used; those below are used.
    """
    settings = settings_from(config, given)
    configure_logging(settings.log_level, settings.log_format)
    log_ignored_variables()
    require_data_folder(settings.data)
    from neurdicom.app.storage import reindex_folder

    report = asyncio.run(reindex_folder(settings, quick=quick))
    click.echo(report)
    named = [*report.missing, *report.changed]
    for line in named[:_MOST_NAMED]:
        click.echo(line)
    if len(named) > _MOST_NAMED:
        click.echo(f"and {len(named) - _MOST_NAMED} more, which the log has")
