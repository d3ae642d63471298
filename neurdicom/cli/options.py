"""Options that several commands share, for settings, limits and the server that they connect to, and `pack`."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from neurdicom.config import Settings, from_text, load_settings

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

#: Names of levels as `archive.selection.MANY` has them, and `processing.run.FORMATS`; importing those would take longer
#: than all the rest of `--help`. A test compares them.
LEVELS = ("patients", "studies", "series", "instances")
FORMATS = ("png", "jpeg", "lum8", "f32", "f64", "npy", "json")


def setting_options(command: CommandT, shown: Collection[str] | None = None) -> CommandT:
    """Add an option for each setting to a command, and `--config` for the settings file.

    Parameters
    ----------
    command : callable
        The command's function.
    shown : collection of str, optional
        Settings that its help lists; the other options are accepted, too, so that a server's command line can be used.
        All by default.

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
            if each.default is True:
                option += f"/--no{option[1:]}"
            command = click.option(option, is_flag=True, default=None, help=help_text, hidden=hidden)(command)
        else:
            default = str(each.default) if each.default != "" else "none"
            text = f"{help_text}  [default: {default}]"
            choices = each.metadata.get("choices")  # checked with the other settings, whatever they come from
            metavar = f"[{'|'.join(choices)}]" if choices else each.name.upper()
            complete = value_completion(each.metadata, is_folder=each.type is Path)
            add = click.option(option, default=None, metavar=metavar, help=text, hidden=hidden, shell_complete=complete)
            command = add(command)
    return config_option(command)


def value_completion(
    rules: Mapping[str, Any], *, is_folder: bool = False
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Make the function that completes a setting's value in a shell.

    Parameters
    ----------
    rules : mapping
        Metadata of the setting: its values are `choices`, or paths of a `file`; others are not completed.
    is_folder : bool
        True for paths of folders.

    Returns
    -------
    callable
        For click's `shell_complete`.
    """

    def complete(_context: click.Context, _option: click.Parameter, incomplete: str) -> list[CompletionItem]:
        if is_folder or rules.get("file"):
            return [CompletionItem(incomplete, type="dir" if is_folder else "file")]
        return [CompletionItem(each) for each in rules.get("choices", ()) if each.startswith(incomplete)]

    return complete


def config_option(command: CommandT) -> CommandT:
    """Add the option `--config` to a command."""
    file = click.Path(dir_okay=False, path_type=Path)
    text = "TOML file with settings.  [environment: NEURDICOM_CONFIG]"
    return click.option("--config", type=file, envvar="NEURDICOM_CONFIG", help=text)(command)


def settings_from(config: Path | None, given: dict[str, Any]) -> Settings:
    """Load the settings from all sources, with the options converted to the types of the settings. Raises `Invalid`."""
    options = {key: from_text(key, value) if isinstance(value, str) else value for key, value in given.items()}
    return load_settings(config, **options)


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `ToolLimits`, which the command takes as `limits`."""

    @click.option(
        "--timeout", type=click.FloatRange(min=0.01), default=60.0, show_default=True, help="Seconds per call."
    )
    @click.option("--memory", type=click.IntRange(min=1), default=2048, show_default=True, help="MiB of the worker.")
    @wraps(command)
    def run(*args: Any, timeout: float, memory: int, **given: Any) -> Any:
        from neurdicom.workers.program import ToolLimits

        return command(*args, limits=ToolLimits(timeout, memory), **given)

    return run


def server_options(command: CommandT) -> CommandT:
    """Add the options `--server` and `--token`, which may be set in the environment; `cli.connection` resolves them."""
    options = (
        click.option(
            "--server",
            envvar="NEURDICOM_SERVER",
            metavar="URL",
            help="URL of a running server.  [environment: NEURDICOM_SERVER; default: that of `neurdicom login`]",
        ),
        click.option(
            "--token",
            envvar="NEURDICOM_TOKEN",
            metavar="TOKEN",
            help="Bearer token for the server, such as `neurdicom user token EMAIL` prints.  "
            "[environment: NEURDICOM_TOKEN; default: that of `neurdicom login`]",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def pack_command(noun: str, route: str, reader: Callable[[], Callable[[Path], Any]]) -> click.Command:
    """Make the command `pack`.

    Parameters
    ----------
    noun : {"plugin", "model"}
        What the command packs.
    route : str
        Path to which the archive is uploaded.
    reader : callable
        Imports and returns the class that checks the archive; it is called when the command runs.

    Returns
    -------
    click.Command
    """

    @click.command(help=f"Pack the {noun} in FOLDER into the archive that POST {route} accepts.")
    @click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
    @click.option(
        "-o",
        "--output",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Path of the archive; FOLDER.zip in this folder by default.",
    )
    def pack(folder: Path, output: Path | None) -> None:
        from neurdicom.plugins.devtools.packing import pack_folder

        output = output or Path(f"{folder.resolve().name}.zip")
        pack_folder(folder, output, reader())
        click.echo(f"{output} ({output.stat().st_size} bytes)")

    return pack
