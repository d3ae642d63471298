"""The command line, whose commands are imported when they are asked for."""

from importlib import import_module
from typing import Any

import click

from neurdicom import __version__
from neurdicom.errors import Invalid, NeurdicomError

#: Module below `neurdicom.cli` by command.
_MODULES = {
    "check-config": "serve",
    "demo": "demo",
    "model": "model",
    "node": "node",
    "plugin": "plugin",
    "process": "process",
    "reindex": "serve",
    "serve": "serve",
    "user": "user",
}


class Main(click.Group):
    """The command group; our errors end a command with one line and exit status 2 (settings) or 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _MODULES:
            return None
        command: click.Command = getattr(import_module(f"neurdicom.cli.{_MODULES[name]}"), name.replace("-", "_"))
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except NeurdicomError as error:
            click.echo(f"neurdicom: {error}", err=True)
            ctx.exit(2 if isinstance(error, Invalid) else 1)


@click.group(cls=Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="neurdicom")
def main() -> None:
    """NeurDICOM: a RESTful DICOM server that runs plugins where the images are."""
