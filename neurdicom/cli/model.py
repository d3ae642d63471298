"""The command line for authors of models: `neurdicom model pack | check`."""

import asyncio
import json
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from neurdicom.errors import Invalid, PluginError
from neurdicom.plugins.versions import ModelVersion, ToolLimits
from neurdicom.processing.run import FORMATS
from neurdicom.workers.model.model_zip import ModelZip
from neurdicom.workers.pool import Reply, WorkerPool
from neurdicom.workers.program import Program


@click.group()
def model() -> None:
    """Pack and check neural networks."""


@model.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="By default FOLDER.zip here.")
def pack(folder: Path, output: Path | None) -> None:
    """Make the archive that POST /api/models takes of the model in FOLDER."""
    from neurdicom.plugins.devtools.packing import pack_folder

    output = output or Path(f"{folder.resolve().name}.zip")
    pack_folder(folder, output, ModelZip)
    click.echo(f"{output} ({output.stat().st_size} bytes)")


@model.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--on", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="DICOM file to run on."
)
@click.option("--threshold", type=click.FloatRange(0, 1), help="Of that run.")
@click.option("--frame", type=click.IntRange(min=1), default=1, show_default=True, help="Of that run.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="png", show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where the result goes.")
@click.option("--timeout", type=click.FloatRange(min=0.01), default=60.0, show_default=True, help="Seconds.")
@click.option("--memory", type=click.IntRange(min=1), default=2048, show_default=True, help="MiB.")
def check(
    path: Path,
    file: Path | None,
    threshold: float | None,
    frame: int,
    form: str,
    output: Path | None,
    timeout: float,
    memory: int,
) -> None:
    """Check the model at PATH, a folder or an archive, as an upload does; with --on, run it."""
    from neurdicom.dicom.part10 import read_header
    from neurdicom.plugins.devtools.packing import packed

    with tempfile.TemporaryDirectory(prefix="neurdicom-") as scratch:
        folder = Path(scratch, "model")
        with packed(path, ModelZip) as zip_path, ModelZip(zip_path) as package:
            package.extract(folder)
        checked = ModelVersion.from_zip(package, "checked", datetime.now(UTC).isoformat())
        program = checked.program(folder, ToolLimits(timeout, memory))
        call: dict[str, Any] | None = None
        if file is not None:
            params = {} if threshold is None else {"threshold": threshold}
            layout = read_header(file).layout.as_dict()
            call = {"path": str(file.resolve()), "layout": layout, "frame": frame, "params": params, "format": form}
        network, reply = asyncio.run(_run(checked, program, call))
    _describe(replace(checked, network=network))
    if reply is not None:
        _show(reply, output)


async def _run(
    checked: ModelVersion, program: Program, call: dict[str, Any] | None
) -> tuple[dict[str, Any], Reply | None]:
    pool = WorkerPool(1)
    await pool.open()
    try:
        network = await pool.probe(checked.inspection(program), "inspect", {"folder": program.target})
        return network, None if call is None else await pool.call(program, "process", call)
    except PluginError as error:
        raise Invalid(f"the model can't be run ({error.code}): {error}", field="archive") from error
    finally:
        await pool.close()


def _describe(checked: ModelVersion) -> None:
    manifest, network = checked.manifest, checked.network
    click.echo(f"{manifest.name} {manifest.version} by {manifest.author}: {manifest.output.kind}, id {checked.id}")
    click.echo(f"  input:  {_tensor(network['input'])}")
    for each in network["outputs"]:
        click.echo(f"  output: {_tensor(each)}")
    click.echo(f"It runs: zeros gave {network['result']['shape']}, {network['classes']} channels or classes.")


def _tensor(described: dict[str, Any]) -> str:
    return f"{described['name']} {described['type']} {json.dumps(described['shape'])}"


def _show(reply: Reply, output: Path | None) -> None:
    click.echo(f"Result: {json.dumps(reply.meta)}, {len(reply.body)} bytes")
    if output is not None:
        output.write_bytes(reply.body)
        click.echo(f"written to {output}")
    elif reply.meta.get("media_type") == "application/json":
        click.echo(bytes(reply.body).decode())
