"""The check of a model: it is loaded as an upload does and run on a file, and the outcome is printed."""

import asyncio
import json
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from neurdicom.dicom.part10 import read_header
from neurdicom.errors import Invalid, PluginError
from neurdicom.plugins.devtools.packing import packed
from neurdicom.plugins.versions import ModelVersion
from neurdicom.workers.model.model_zip import ModelZip
from neurdicom.workers.pool import Reply, WorkerPool
from neurdicom.workers.program import Program, ToolLimits


@dataclass(frozen=True, slots=True)
class ModelCall:
    """Run of a model on a frame (from 1) of a DICOM file, encoded in one of `processing.run.FORMATS`."""

    file: Path
    threshold: float | None
    frame: int
    format: str

    def to_wire(self) -> dict[str, Any]:
        """Return the arguments of the worker's call."""
        return {
            "path": str(self.file.resolve()),
            "layout": read_header(self.file).layout.to_document(),
            "frame": self.frame,
            "params": {} if self.threshold is None else {"threshold": self.threshold},
            "format": self.format,
        }


def check_model(path: Path, call: ModelCall | None, output: Path | None, limits: ToolLimits) -> None:
    """Load a model, run it, and print the outcome.

    Parameters
    ----------
    path : Path
        A folder or an archive.
    call : ModelCall or None
        A run after the one on zeros; None for none.
    output : Path or None
        File to write the result of that run to; None to print it.
    limits : ToolLimits
        Limits of its calls and of its worker.

    Raises
    ------
    Invalid
        An upload would refuse the model, or it can't be run.
    """
    with tempfile.TemporaryDirectory(prefix="neurdicom-") as scratch:
        folder = Path(scratch, "model")
        with packed(path, ModelZip) as zip_path, ModelZip(zip_path) as package:
            package.extract(folder)
        checked = ModelVersion.from_zip(package, "checked", datetime.now(UTC).isoformat())
        program = checked.program(folder, limits)
        network, reply = asyncio.run(_run(checked, program, None if call is None else call.to_wire()))
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
    click.echo(f"Run on zeros: result {network['result']['shape']}, {network['classes']} channels or classes.")


def _tensor(described: dict[str, Any]) -> str:
    return f"{described['name']} {described['type']} {json.dumps(described['shape'])}"


def _show(reply: Reply, output: Path | None) -> None:
    click.echo(f"Result: {json.dumps(reply.meta)}, {len(reply.body)} bytes")
    if output is not None:
        output.write_bytes(reply.body)
        click.echo(f"written to {output}")
    elif reply.meta.get("media_type") == "application/json":
        click.echo(bytes(reply.body).decode())
