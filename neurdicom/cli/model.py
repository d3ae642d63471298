"""The commands for authors of models: `neurdicom model pack` and `check`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from neurdicom.cli.options import FORMATS, limit_options, pack_command
from neurdicom.workers.program import ToolLimits


@click.group()
def model() -> None:
    """Pack and check neural networks."""


def _model_zip() -> Callable[[Path], Any]:
    from neurdicom.workers.model.model_zip import ModelZip

    return ModelZip


model.add_command(pack_command("model", "/api/models", _model_zip))


@model.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--on", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="DICOM file to run the model on."
)
@click.option("--threshold", type=click.FloatRange(0, 1), help="Threshold of that run.")
@click.option("--frame", type=click.IntRange(min=1), default=1, show_default=True, help="Frame of that file.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="png", show_default=True, help="Format of --output."
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write the result to.")
@limit_options
def check(
    path: Path,
    file: Path | None,
    threshold: float | None,
    frame: int,
    form: str,
    output: Path | None,
    limits: ToolLimits,
) -> None:
    """Check the model at PATH, a folder or an archive, as an upload does; with --on, run it on a file."""
    from neurdicom.cli.model_check import ModelCall, check_model  # imports the workers

    call = None if file is None else ModelCall(file, threshold, frame, form)
    check_model(path, call, output, limits)
