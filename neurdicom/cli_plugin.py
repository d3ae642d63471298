"""The command line for authors of plugins: `neurdicom plugin new | pack | check`."""

import asyncio
import json
import re
import tempfile
import uuid
import zipfile
from collections import defaultdict
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from string import Template

import click

from neurdicom.dicom.part10 import read_header
from neurdicom.errors import Invalid
from neurdicom.runtime.archive import Archive
from neurdicom.runtime.params import convert_arguments
from neurdicom.runtime.plugin import Plugin
from neurdicom.runtime.pool import Reply, WorkerPool
from neurdicom.runtime.program import Program
from neurdicom.services.process import FORMATS

#: What belongs to the author's workplace and not to the plugin.
_LEFT_OUT = re.compile(r"^\.|^__pycache__$|\.(pyc|o|zip)$")

#: The same files make the same archive, and so the same digest.
_EPOCH = (1980, 1, 1, 0, 0, 0)

_LANGUAGES = ("python", "c", "cpp")


@click.group()
def plugin() -> None:
    """Make, pack and check plugins."""


@plugin.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--language", type=click.Choice(_LANGUAGES), default="python", show_default=True)
@click.option("--name", help="What users see; the folder's name by default.")
@click.option("--guid", help="Identifies the plugin across versions; made up by default.")
@click.option("--author", default="Unknown", show_default=True)
def new(folder: Path, language: str, name: str | None, guid: str | None, author: str) -> None:
    """Write a plugin that works into a new FOLDER, as a start."""
    if not (name or "-").isprintable():
        raise Invalid(f"the name {name!r} has control characters", field="name")
    if folder.exists() and any(folder.iterdir()):
        raise Invalid(f"{folder} is not empty", field="folder")
    folder.mkdir(parents=True, exist_ok=True)
    values = {"name": name or folder.resolve().name, "guid": guid or str(uuid.uuid4()), "author": author}
    for template in resources.files("neurdicom").joinpath("templates", language).iterdir():
        escaped = values
        file_name = template.name.removesuffix(".tmpl")
        if file_name.endswith(".json"):
            escaped = {key: json.dumps(value)[1:-1] for key, value in values.items()}
        text = Template(template.read_text(encoding="utf-8")).substitute(escaped)
        (folder / file_name).write_text(text, encoding="utf-8")
    steps = ["make" + f" -C {folder}"] if language != "python" else []
    steps += [f"neurdicom plugin check {folder}", f"neurdicom plugin pack {folder}"]
    click.echo(f"A {language} plugin is in {folder}. Next: {', then '.join(steps)}")


@plugin.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="By default FOLDER.zip here.")
def pack(folder: Path, output: Path | None) -> None:
    """Make the archive that POST /api/plugins takes of the plugin in FOLDER."""
    output = output or Path(f"{folder.resolve().name}.zip")
    pack_folder(folder, output)
    click.echo(f"{output} ({output.stat().st_size} bytes)")


@plugin.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--on", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="DICOM file to run on."
)
@click.option("-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter of that run.")
@click.option("--frame", type=click.IntRange(min=1), default=1, show_default=True, help="Frame of that run.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="png", show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where the result goes.")
@click.option("--timeout", type=click.FloatRange(min=0.01), default=60.0, show_default=True, help="Seconds.")
@click.option("--memory", type=click.IntRange(min=1), default=2048, show_default=True, help="MiB.")
def check(
    path: Path,
    file: Path | None,
    params: tuple[str, ...],
    frame: int,
    form: str,
    output: Path | None,
    timeout: float,
    memory: int,
) -> None:
    """Check the plugin at PATH, a folder or an archive, as an upload does; with --on, run it."""
    texts: dict[str, list[str]] = defaultdict(list)
    for each in params:
        name, equals, value = each.partition("=")
        if not equals:
            raise Invalid(f"{each!r} is not NAME=VALUE", field="param")
        texts[name].append(value)
    with tempfile.TemporaryDirectory(prefix="neurdicom-") as scratch:
        archive_path = path
        if path.is_dir():
            archive_path = Path(scratch, "plugin.zip")
            pack_folder(path, archive_path)
        with Archive(archive_path) as archive:
            archive.extract(Path(scratch, "plugin"))
        checked = Plugin(archive.manifest, archive.kind, archive.target, "checked", datetime.now(UTC).isoformat())
        program = checked.program(Path(scratch, "plugin"), timeout=timeout, memory=memory)
        arguments = None
        if file is not None:
            arguments = {
                "path": str(file.resolve()),
                "layout": read_header(file).layout.as_dict(),
                "frame": frame,
                "edits": [],
                "params": convert_arguments(archive.manifest.params, texts, {}),
                "format": form,
            }
        reply = asyncio.run(_run(program, arguments))
    manifest = archive.manifest
    click.echo(f"{manifest.name} {manifest.version} by {manifest.author}: {archive.kind}, {len(archive.files)} files")
    for each_param in manifest.params.values():
        need = "required" if each_param.required else "optional"
        need = f"default {each_param.default!r}" if each_param.has_default else need
        click.echo(f"  {each_param.name}: {each_param.takes()} ({need})")
    click.echo("It loads and unloads in a worker.")
    if reply is not None:
        _show(reply, output)


async def _run(program: Program, arguments: dict[str, object] | None) -> Reply | None:
    pool = WorkerPool(1)
    await pool.open()
    try:
        await pool.probe(program)
        return None if arguments is None else await pool.call(program, "process", arguments)
    finally:
        await pool.close()


def _show(reply: Reply, output: Path | None) -> None:
    click.echo(f"Result: {json.dumps(reply.meta)}, {len(reply.body)} bytes")
    if output is not None:
        output.write_bytes(reply.body)
        click.echo(f"written to {output}")
    elif reply.meta.get("media_type") == "application/json":
        click.echo(bytes(reply.body).decode())


def pack_folder(folder: Path, output: Path) -> None:
    """Make an archive of a plugin's folder, and check it.

    Raises
    ------
    Invalid
        An upload would refuse the archive; none is left.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.resolve() != output.resolve())
    scratch = output.with_name(f".{output.name}.new")
    try:
        with zipfile.ZipFile(scratch, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                name = path.relative_to(folder)
                if not any(_LEFT_OUT.search(part) for part in name.parts):
                    info = zipfile.ZipInfo(name.as_posix(), _EPOCH)
                    info.external_attr = 0o644 << 16
                    archive.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED)
        Archive(scratch).close()
        scratch.replace(output)
    finally:
        scratch.unlink(missing_ok=True)
