"""`neurdicom serve | check-config | reindex`: the server, its settings and its catalog."""

import asyncio
import json
import signal
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import click

from neurdicom import __version__
from neurdicom.config import Settings, from_text, load_settings
from neurdicom.logs import configure_logging

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def setting_options(command: CommandT) -> CommandT:
    """Give a command one option for each setting, and `--config` for the settings file."""
    for each in reversed(fields(Settings)):
        option = "--" + each.name.replace("_", "-")
        help_text = each.metadata["help"]
        if each.type is bool or isinstance(each.default, bool):
            command = click.option(option, is_flag=True, default=None, help=help_text)(command)
        else:
            shown = str(each.default) if each.default != "" else "none"
            text = f"{help_text}  [default: {shown}]"
            command = click.option(option, default=None, metavar=each.name.upper(), help=text)(command)
    file = click.Path(dir_okay=False, path_type=Path)
    return click.option("--config", type=file, envvar="NEURDICOM_CONFIG", help="TOML file with settings.")(command)


def settings_from(config: Path | None, given: dict[str, Any]) -> Settings:
    """The settings from all sources, options converted to their types. Raises `Invalid`."""
    options = {key: from_text(key, value) if isinstance(value, str) else value for key, value in given.items()}
    return load_settings(config, **options)


@click.command()
@setting_options
def serve(config: Path | None, **given: Any) -> None:
    """Run the server until SIGTERM or Ctrl-C."""
    settings = settings_from(config, given)
    configure_logging(settings.log_level, settings.log_format)
    asyncio.run(run_server(settings))


async def run_server(settings: Settings, *, announce: Callable[[str], None] = click.echo) -> None:
    """Serve until SIGTERM or SIGINT, then stop cleanly."""
    from neurdicom.app import Server

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = Server(settings)
    await server.start()
    if (first := server.first_sign_in) is not None:
        announce(f"First start: sign in as {first.email} with the one-time password {first.password}")
        announce(f"It is kept in {first.file} until it is changed.")
    if server.dimse_address:
        announce(f"DICOM associations are taken at {server.dimse_address} as {settings.ae_title}")
    announce(f"NeurDICOM {__version__} is ready at {server.url} (the API's page: {server.url}/api/docs)")
    await stopped.wait()
    await server.stop()


@click.command("check-config")
@setting_options
def check_config(config: Path | None, **given: Any) -> None:
    """Print the settings that a server would run with, or what is wrong with them."""
    settings = asdict(settings_from(config, given))
    if settings["mongodb_uri"]:
        settings["mongodb_uri"] = "(set; not shown, since it may hold a password)"
    click.echo(json.dumps(settings, default=str, indent=2))


@click.command()
@setting_options
def reindex(config: Path | None, **given: Any) -> None:
    """Rebuild the catalog's DICOM part from the stored files; the server must be stopped."""
    from neurdicom.app import reindex_folder

    settings = settings_from(config, given)
    configure_logging(settings.log_level, settings.log_format)
    click.echo(asyncio.run(reindex_folder(settings)))
