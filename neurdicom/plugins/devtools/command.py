"""What `neurdicom plugin check` does, between its options and its report."""

import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from neurdicom.errors import Invalid, PluginError
from neurdicom.plugins.devtools.checking import check_package
from neurdicom.plugins.devtools.console import show
from neurdicom.plugins.devtools.package import Package, arguments_for, exports, is_sanitized, open_package
from neurdicom.plugins.devtools.report import Check, Report
from neurdicom.plugins.devtools.samples import Sample, sample_of, series_of, write_samples, write_series
from neurdicom.plugins.devtools.sanitizer.run import sanitize_package
from neurdicom.workers.executor import PoolExecutor, Task
from neurdicom.workers.pool import Reply, WorkerPool
from neurdicom.workers.program import Level


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of the command."""

    own: Sequence[Path]
    samples: bool
    params: Sequence[str]
    frame: int
    form: str
    output: Path | None
    timeout: float
    memory: int
    slow: float
    sanitize: bool
    library: Path | None
    allow: Sequence[str]
    as_json: bool


async def run_check(path: Path, wishes: Wishes) -> bool:
    """Check a plugin and print the report; answers whether nothing is wrong."""
    with tempfile.TemporaryDirectory(prefix="neurdicom-") as name:
        scratch = Path(name)
        package = open_package(path, scratch, timeout=wishes.timeout, memory=wishes.memory)
        if wishes.library is not None:
            if package.kind != "native":
                raise Invalid("--library is for native plugins; this one is in Python", field="library")
            package = package.with_library(wishes.library)
        arguments, derived = arguments_for(package.manifest, _texts(wishes.params))
        level = await _level(package)
        samples = _own(level, wishes.own, wishes.frame)
        if wishes.samples:
            samples += _made(package, level, scratch)
        if not samples:
            raise Invalid("there is nothing to run on: --no-samples goes with --on", field="samples")
        if not wishes.as_json:
            _introduce(package, arguments, derived)
        if wishes.sanitize:
            report = sanitize_package(package, samples, arguments, scratch)
        else:
            report = await check_package(package, samples, arguments, scratch, slow=wishes.slow)
        report.allow(wishes.allow)
        if wishes.output is not None and report.ok:
            wishes.output.write_bytes((await _run(package, samples[0], arguments, wishes.form)).body)
    _tell(report, wishes)
    return report.ok


def _texts(params: Sequence[str]) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = defaultdict(list)
    for each in params:
        name, equals, value = each.partition("=")
        if not equals:
            raise Invalid(f"{each!r} is not NAME=VALUE", field="param")
        texts[name].append(value)
    return texts


async def _level(package: Package) -> Level:
    """What one call gets: without `ProcessVolume`, a native plugin of level series gets one slice after another."""
    if package.manifest.level == "instance" or package.kind == "python":
        return package.manifest.level
    if is_sanitized(package):  # which no worker can load
        return "series" if exports(package, b"ProcessVolume") else "instance"
    pool = WorkerPool(1)
    await pool.open()
    try:
        return "series" if (await pool.probe(package.program)).get("takes_volumes") else "instance"
    except PluginError:  # the check will tell
        return package.manifest.level
    finally:
        await pool.close()


def _made(package: Package, level: Level, scratch: Path) -> list[Sample]:
    folder = scratch / "samples"
    folder.mkdir()
    given = package.manifest.meta.get("modalities") or ()
    modalities = (given,) if isinstance(given, str) else tuple(given)
    return (write_series if level == "series" else write_samples)(folder, modalities)


def _own(level: Level, paths: Sequence[Path], frame: int) -> list[Sample]:
    files = [sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path] for path in paths]
    for path, found in zip(paths, files, strict=True):
        if not found:
            raise Invalid(f"there is no file in {path}", field="on")
    if level == "series":
        return [series_of(path.name, found) for path, found in zip(paths, files, strict=True)]
    return [sample_of(file, frame) for found in files for file in found]


async def _run(package: Package, sample: Sample, arguments: dict[str, Any], form: str) -> Reply:
    pool = WorkerPool(1)
    await pool.open()
    try:
        task = Task(package.program, sample.inputs, arguments, form, volume=sample.volume)
        return await PoolExecutor(pool).run(task)
    finally:
        await pool.close()


def _introduce(package: Package, arguments: dict[str, Any], derived: list[str]) -> None:
    manifest = package.manifest
    click.echo(f"{manifest.name} {manifest.version} by {manifest.author}: {package.kind}, {len(package.files)} files")
    for each in manifest.params.values():
        need = "required" if each.required else "optional"
        need = f"default {each.default!r}" if each.has_default else need
        made_up = f", here {arguments[each.name]!r}" if each.name in derived else ""
        click.echo(f"  {each.name}: {each.takes()} ({need}{made_up})")


def _tell(report: Report, wishes: Wishes) -> None:
    if wishes.as_json:
        click.echo(json.dumps(report.as_dict(), indent=2, ensure_ascii=False))
        return
    if all(finding.check is not Check.LOAD for finding in report.findings):
        click.echo("It loads and unloads in a worker.")
    console = Console()
    show(report, console if console.is_terminal else Console(width=120))
    if wishes.output is not None and report.ok:
        click.echo(f"The result is in {wishes.output}")
