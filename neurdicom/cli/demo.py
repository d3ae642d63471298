"""`neurdicom demo`, which `make demo` runs.

`demo_steps` does the work; it is imported when the command runs.
"""

from pathlib import Path

import click


@click.command()
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    help="Folder of the server's data and of the results.",
)
@click.option(
    "--sources",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    show_default="this folder",
    help="A checkout of NeurDICOM, where the plugins' sources lie.",
)
@click.option("--port", type=int, default=8080, show_default=True, help="Another free one if this is taken.")
@click.option("--once", is_flag=True, help="Stop when everything is shown.")
def demo(output: Path, sources: Path, port: int, once: bool) -> None:
    """Start a server with a study and plugins in it, and write what the plugins give into a folder.

    It needs a checkout of NeurDICOM, where the plugins' sources lie, make and a C++ compiler. The server listens on
    this machine alone and runs until Ctrl-C; a second run on the same output folder goes on with what is there.
    """
    from neurdicom.cli.demo_steps import run_demo  # brings the client and pydicom

    run_demo(output.resolve(), sources.resolve(), port, once=once)
