"""The command `neurdicom demo`, which `make demo` runs.

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
    help="Checkout of NeurDICOM, with the sources of the plugins.",
)
@click.option(
    "--port", type=int, default=8080, show_default=True, help="Port of the server; any free one if this is in use."
)
@click.option("--once", is_flag=True, help="Stop the server after the steps instead of leaving it running.")
def demo(output: Path, sources: Path, port: int, once: bool) -> None:
    """Start a server, upload a study, install plugins, and write their results into a folder.

    It needs a checkout of NeurDICOM with the sources of the plugins, make and a C++ compiler. The server accepts
    requests of this machine only and runs until Ctrl-C; a second run with the same output folder continues with its
    data.
    """
    from neurdicom.cli.demo_steps import run_demo  # brings the client and pydicom

    run_demo(output.resolve(), sources.resolve(), port, once=once)
