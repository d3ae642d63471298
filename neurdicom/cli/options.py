"""Options that several commands take: settings, and the server that a command talks to."""

from collections.abc import Callable, Collection
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from neurdicom.config import Settings, from_text, load_settings

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def setting_options(command: CommandT, shown: Collection[str] | None = None) -> CommandT:
    """Give a command one option for each setting, and `--config` for the settings file.

    Parameters
    ----------
    command : callable
        The command's function.
    shown : collection of str, optional
        Settings that its help lists; it takes the others, too, so that a server's options fit. All by default.

    Returns
    -------
    callable
        The same function.
    """
    for each in reversed(fields(Settings)):
        option = "--" + each.name.replace("_", "-")
        hidden = shown is not None and each.name not in shown
        help_text = each.metadata["help"]
        if each.type is bool or isinstance(each.default, bool):
            command = click.option(option, is_flag=True, default=None, help=help_text, hidden=hidden)(command)
        else:
            default = str(each.default) if each.default != "" else "none"
            text = f"{help_text}  [default: {default}]"
            command = click.option(option, default=None, metavar=each.name.upper(), help=text, hidden=hidden)(command)
    return config_option(command)


def config_option(command: CommandT) -> CommandT:
    """Give a command `--config`."""
    file = click.Path(dir_okay=False, path_type=Path)
    text = "TOML file with settings.  [environment: NEURDICOM_CONFIG]"
    return click.option("--config", type=file, envvar="NEURDICOM_CONFIG", help=text)(command)


def settings_from(config: Path | None, given: dict[str, Any]) -> Settings:
    """Load the settings from all sources, options converted to their types. Raises `Invalid`."""
    options = {key: from_text(key, value) if isinstance(value, str) else value for key, value in given.items()}
    return load_settings(config, **options)


def server_options(command: CommandT) -> CommandT:
    """Give a command `--server` and `--token`, which the environment may hold; `cli.connection` resolves them."""
    options = (
        click.option(
            "--server",
            envvar="NEURDICOM_SERVER",
            metavar="URL",
            help="A running server.  [environment: NEURDICOM_SERVER; default: that of `neurdicom login`]",
        ),
        click.option(
            "--token",
            envvar="NEURDICOM_TOKEN",
            metavar="TOKEN",
            help="A token for it, such as `neurdicom user token EMAIL` prints.  "
            "[environment: NEURDICOM_TOKEN; default: that of `neurdicom login`]",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
