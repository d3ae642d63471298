"""The command `neurdicom plugin check`, from its options to its report."""

import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurdicom.errors import Invalid, PluginError
from neurdicom.plugins.devtools.checking import check_package
from neurdicom.plugins.devtools.package import ExtractedPlugin, arguments_for, exports, is_sanitized, open_package
from neurdicom.plugins.devtools.report import CheckReport
from neurdicom.plugins.devtools.samples import Sample, sample_of, series_of, write_samples, write_series
from neurdicom.plugins.devtools.sanitizer.run import sanitize_package
from neurdicom.workers.executor import Task
from neurdicom.workers.pool import Reply, WorkerPool
from neurdicom.workers.pool_executor import PoolExecutor
from neurdicom.workers.program import Level, ToolLimits


@dataclass(frozen=True, slots=True)
class CheckInputs:
    """Options that choose the plugin's inputs.

    Attributes
    ----------
    own : sequence of Path
        DICOM files, and folders of them.
    samples : bool
        Whether the sample images are used, too.
    params : sequence of str
        Parameters of all runs, as NAME=VALUE.
    frame : int
        Frame of the files in `own`, from 1.
    """

    own: Sequence[Path]
    samples: bool
    params: Sequence[str]
    frame: int


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """Options of the command.

    Attributes
    ----------
    inputs : CheckInputs
        Inputs of the runs.
    form : str
        Format of `output`.
    output : Path or None
        File that the first sample's result is written to.
    limits : ToolLimits
        Limits of its calls and of its worker.
    slow : float
        Seconds from which a call is reported as slow.
    sanitize : bool
        Whether to run it under AddressSanitizer.
    library : Path or None
        Another build of the shared library.
    allow : sequence of str
        Checks whose problems count as advice.
    """

    inputs: CheckInputs
    form: str
    output: Path | None
    limits: ToolLimits
    slow: float
    sanitize: bool
    library: Path | None
    allow: Sequence[str]


#: Called with the package, the parameters of all runs, and the names of the parameters that were made up.
Announce = Callable[[ExtractedPlugin, dict[str, Any], list[str]], None]


async def run_check(path: Path, options: CheckOptions, announce: Announce) -> CheckReport:
    """Check a plugin.

    Parameters
    ----------
    path : Path
        Its folder, or its ZIP.
    options : CheckOptions
        Inputs and conditions of the runs.
    announce : callable
        Called before the runs, which may take long.

    Returns
    -------
    CheckReport
        The findings; without a problem, the first result is written to `options.output`.

    Raises
    ------
    Invalid
        An upload would refuse the plugin, or an option is wrong.
    """
    with tempfile.TemporaryDirectory(prefix="neurdicom-") as name:
        scratch = Path(name)
        package = open_package(path, scratch, options.limits)
        if options.library is not None:
            if package.kind != "native":
                raise Invalid("--library is for native plugins; this one is in Python", field="library")
            package = package.with_library(options.library)
        arguments, derived = arguments_for(package.manifest, _texts(options.inputs.params))
        level = await _level(package)
        samples = _own(level, options.inputs.own, options.inputs.frame)
        if options.inputs.samples:
            samples += _made(package, level, scratch)
        if not samples:
            raise Invalid("there is nothing to run on: --no-samples needs files or folders in --on", field="samples")
        announce(package, arguments, derived)
        if options.sanitize:
            report = sanitize_package(package, samples, arguments, scratch)
        else:
            report = await check_package(package, samples, arguments, scratch, slow=options.slow)
        report.allow(options.allow)
        if options.output is not None and report.ok:
            options.output.write_bytes((await _run(package, samples[0], arguments, options.form)).body)
    return report


def _texts(params: Sequence[str]) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = defaultdict(list)
    for each in params:
        name, equals, value = each.partition("=")
        if not equals:
            raise Invalid(f"the parameter {each!r} is not of the form NAME=VALUE", field="param")
        texts[name].append(value)
    return texts


async def _level(package: ExtractedPlugin) -> Level:
    """Find the level of one call: without `ProcessVolume`, a native plugin of level series gets single slices."""
    if package.manifest.level == "instance" or package.kind == "python":
        return package.manifest.level
    if is_sanitized(package):  # which no worker can load
        return "series" if exports(package, b"ProcessVolume") else "instance"
    pool = WorkerPool(1)
    await pool.open()
    try:
        return "series" if (await pool.probe(package.program)).get("takes_volumes") else "instance"
    except PluginError:  # the check reports it
        return package.manifest.level
    finally:
        await pool.close()


def _made(package: ExtractedPlugin, level: Level, scratch: Path) -> list[Sample]:
    folder = scratch / "samples"
    folder.mkdir()
    given = package.manifest.meta.get("modalities") or ()
    modalities = (given,) if isinstance(given, str) else tuple(given)
    return (write_series if level == "series" else write_samples)(folder, modalities)


def _own(level: Level, paths: Sequence[Path], frame: int) -> list[Sample]:
    files = [sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path] for path in paths]
    for path, found in zip(paths, files, strict=True):
        if not found:
            raise Invalid(f"the folder {path} has no files", field="on")
    if level == "series":
        return [series_of(path.name, found) for path, found in zip(paths, files, strict=True)]
    return [sample_of(file, frame) for found in files for file in found]


async def _run(package: ExtractedPlugin, sample: Sample, arguments: dict[str, Any], form: str) -> Reply:
    pool = WorkerPool(1)
    await pool.open()
    try:
        task = Task(package.program, sample.inputs, arguments, form, volume=sample.volume)
        return await PoolExecutor(pool).run(task)
    finally:
        await pool.close()
