"""The command group `neurdicom`, whose commands are imported when they are called."""

from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from neurdicom import __version__
from neurdicom.errors import Invalid, NeurdicomError

#: Module below `neurdicom.cli`, and line in the list of commands, of each command; the list imports no module.
COMMANDS = {
    "serve": ("serve", "Run the server until SIGTERM or Ctrl-C."),
    "check-config": ("serve", "Print the settings that a server would run with, or what is wrong with them."),
    "reindex": ("serve", "Rebuild the catalog of DICOM instances from the stored files."),
    "backup": ("backup", "Back up a data folder into DEST, while the server runs or is stopped."),
    "restore": ("backup", "Restore a backup of SRC, the folder of `neurdicom backup`, into a new data folder."),
    "verify": ("verify", "Compare all stored files with the SHA-256 of what was received."),
    "user": ("user", "Manage users, and tokens of programs."),
    "node": ("node", "Manage DICOM nodes: peers to query, retrieve from and send to."),
    "login": ("login", "Store a server and a token for the commands that connect to a server."),
    "logout": ("login", "Delete the stored server and token."),
    "process": ("process", "Run a plugin or a model on the selected entities, and show the job's progress."),
    "plugin": ("plugin", "Make, check, pack and install plugins."),
    "model": ("model", "Pack and check neural networks."),
    "demo": ("demo", "Start a server, upload a study, install plugins, and write their results into a folder."),
}


class Main(click.Group):
    """The command group; errors of NeurDICOM end a command with one line and exit status 2 (wrong input) or 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the module of a command and return the command; None where there is none of this name."""
        if name not in COMMANDS:
            return None
        module, _ = COMMANDS[name]
        command: click.Command = getattr(import_module(f"neurdicom.cli.{module}"), name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands and their lines in the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command from the table, and options as every command does."""
        found = [CompletionItem(name, help=line) for name, (_, line) in COMMANDS.items() if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command; an error of NeurDICOM becomes one line on standard error and an exit status."""
        try:
            return super().invoke(ctx)
        except NeurdicomError as error:
            click.echo(f"neurdicom: {error}", err=True)
            ctx.exit(2 if isinstance(error, Invalid) else 1)


@click.group(cls=Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="neurdicom")
def main() -> None:
    """NeurDICOM: a RESTful DICOM server that runs plugins where the images are."""
