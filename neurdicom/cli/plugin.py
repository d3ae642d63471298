"""The command `neurdicom plugin`: plugins that an author writes, and those of a running server."""

import asyncio
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import click

from neurdicom.cli.options import FORMATS, limit_options, pack_command, server_options
from neurdicom.plugins.devtools.report import Check
from neurdicom.plugins.devtools.scaffold import LANGUAGES, LEVELS, start_plugin
from neurdicom.workers.program import ToolLimits


@click.group()
def plugin() -> None:
    """Make, check, pack and install plugins."""


@plugin.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--language", type=click.Choice(LANGUAGES), default="python", show_default=True, help="Language of the sources."
)
@click.option(
    "--level",
    type=click.Choice(LEVELS),
    default="instance",
    show_default=True,
    help="Input of one call: an instance, or a series.",
)
@click.option("--name", help="Name of the plugin; the folder's name by default.")
@click.option("--guid", help="Id of the plugin, the same for all its versions; a new one by default.")
@click.option("--author", default="Unknown", show_default=True, help="Name of the author, for META.json.")
def new(folder: Path, language: str, level: str, name: str | None, guid: str | None, author: str) -> None:
    """Write the sources of a working plugin into a new FOLDER."""
    name = name or folder.resolve().name
    start_plugin(folder, language, level=level, name=name, guid=guid, author=author)
    steps = ["make" + f" -C {folder}"] if language != "python" else []
    steps += [f"neurdicom plugin check {folder}", f"neurdicom plugin pack {folder}"]
    click.echo(f"A {language} plugin is in {folder}. Next: {', then '.join(steps)}")


def _plugin_zip() -> Callable[[Path], Any]:
    from neurdicom.plugins.plugin_zip import PluginZip

    return PluginZip


plugin.add_command(pack_command("plugin", "/api/plugins", _plugin_zip))


@plugin.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--level",
    type=click.Choice(LEVELS),
    default="instance",
    show_default=True,
    help="Images of one call: single instances, or series.",
)
def samples(folder: Path, level: str) -> None:
    """Write the sample images of `neurdicom plugin check` into a new FOLDER."""
    from neurdicom.plugins.devtools.samples import write_samples, write_series

    folder.mkdir(parents=True)
    for sample in (write_samples if level == "instance" else write_series)(folder):
        click.echo(f"{Path(sample.inputs[0].path).name}  {sample.name}")


@plugin.command("include-dir")
def include_dir() -> None:
    """Print the folder of neurdicom_plugin.h and neurdicom_plugin.hpp, for a compiler's option -I."""
    click.echo(_folder("include"))


@plugin.command("cmake-dir")
def cmake_dir() -> None:
    """Print the folder of the CMake package, for -DNeurDICOM_DIR=."""
    click.echo(_folder("cmake"))


def _folder(name: str) -> Path:
    return Path(str(resources.files("neurdicom.plugins.devtools").joinpath(name))).resolve()


@plugin.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--on",
    "own",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    help="Also run on this DICOM file, or on a folder's files: on each, or on all as one series. May be repeated.",
)
@click.option("--samples/--no-samples", default=True, help="Also run on the sample images.  [default: samples]")
@click.option(
    "-p",
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="Parameter of the plugin, for all runs. May be repeated.",
)
@click.option("--frame", type=click.IntRange(min=1), default=1, show_default=True, help="Frame of the files of --on.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="png", show_default=True, help="Format of --output."
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write the first file's result to."
)
@limit_options
@click.option(
    "--slow",
    type=click.FloatRange(min=0.0),
    default=2.0,
    show_default=True,
    help="Seconds above which a call is reported as slow.",
)
@click.option("--sanitize", is_flag=True, help="Run a native plugin that was built with AddressSanitizer.")
@click.option(
    "--library",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Shared library to load instead, such as a build for --sanitize.",
)
@click.option(
    "--allow",
    type=click.Choice([each.value for each in Check]),
    multiple=True,
    help="Report findings of this check as advice instead of problems. May be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def check(
    context: click.Context,
    path: Path,
    own: tuple[Path, ...],
    samples: bool,
    params: tuple[str, ...],
    frame: int,
    form: str,
    output: Path | None,
    limits: ToolLimits,
    slow: float,
    sanitize: bool,
    library: Path | None,
    allow: tuple[str, ...],
    as_json: bool,
) -> None:
    """Check the plugin at PATH, a folder or an archive.

    It is loaded as an upload does, and run on sample images and on the files of --on. The exit status is 1 if there
    are problems.
    """
    from neurdicom.cli.console import introduce_plugin, show_report
    from neurdicom.plugins.devtools.command import CheckInputs, CheckOptions, run_check  # imports numpy and pydicom

    inputs = CheckInputs(own, samples, params, frame)
    options = CheckOptions(inputs, form, output, limits, slow, sanitize, library, allow)
    report = asyncio.run(run_check(path, options, (lambda *_: None) if as_json else introduce_plugin))
    if as_json:
        click.echo(json.dumps(report.to_document(), indent=2, ensure_ascii=False))
    else:
        if all(finding.check is not Check.LOAD for finding in report.findings):
            click.echo("Loading and unloading in a worker succeeded.")
        show_report(report)
        if output is not None and report.ok:
            click.echo(f"written to {output}")
    context.exit(0 if report.ok else 1)


@plugin.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@server_options
def install(path: Path, server: str | None, token: str | None) -> None:
    """Install the plugin at PATH, a folder or an archive, on a running server, replacing another version."""
    from neurdicom.cli.connection import connected
    from neurdicom.plugins.devtools.packing import packed

    with packed(path) as package, connected(server, token) as client:
        installed = client.plugins.install(package)
    click.echo(f"installed {installed['name']} {installed['version']} ({installed['id']})")


@plugin.command("list")
@server_options
def list_plugins(server: str | None, token: str | None) -> None:
    """List the plugins of a running server: id, name, version, kind and state, separated by tabs."""
    from neurdicom.cli.connection import connected

    with connected(server, token) as client:
        for each in client.plugins.list():
            click.echo("\t".join(str(each[field] or "") for field in ("id", "name", "version", "kind", "state")))


@plugin.command()
@click.argument("id")
@server_options
def remove(id: str, server: str | None, token: str | None) -> None:
    """Remove the plugin with this ID from a running server."""
    from neurdicom.cli.connection import connected

    with connected(server, token) as client:
        client.plugins.remove(id)
    click.echo(f"removed {id}")
