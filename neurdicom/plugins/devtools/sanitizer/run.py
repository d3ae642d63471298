"""Runs of a native plugin under AddressSanitizer, for `neurdicom plugin check --sanitize`."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import orjson

from neurdicom.dicom.geometry.planes import Plane, describe_volume
from neurdicom.errors import Invalid
from neurdicom.pixels.pipeline import load_stored, to_double
from neurdicom.plugins.devtools.package import ExtractedPlugin, is_sanitized
from neurdicom.plugins.devtools.report import CheckReport, Row
from neurdicom.plugins.devtools.samples import Sample
from neurdicom.plugins.devtools.sanitizer.parse import SanitizerOutput, read_output

_RUNTIME: Final = re.compile(rb"lib(?:clang_rt\.)?asan[\w.\-]*\.so[\w.]*")

#: Numbers that differ between two reports of one fault; a number after a colon is a line's, and stays.
_NUMBER: Final = re.compile(r"(?<![:\d])\d+")

#: Factor of the time limit: sanitized code is several times slower.
_SLOWER: Final = 10

#: Leaks at exit are Python's own; the sanitizer reports signals; a failed malloc gives NULL, as elsewhere.
_ASAN_OPTIONS: Final = (
    "detect_leaks=1:leak_check_at_exit=0:handle_abort=1:allocator_may_return_null=1:strict_string_checks=1:"
    "detect_stack_use_after_return=1:symbolize=1:color=never:stack_trace_format='    #%n %p {%m} {%f} {%S}'"
)


def sanitize_package(
    package: ExtractedPlugin, samples: Sequence[Sample], params: dict[str, Any], scratch: Path
) -> CheckReport:
    """Run a native plugin with all samples under AddressSanitizer.

    Parameters
    ----------
    package : ExtractedPlugin
        The plugin.
    samples : sequence of Sample
        Sample images or series, in the order of the report.
    params : dict
        Converted parameters of all calls.
    scratch : Path
        A folder for the samples' pixels.

    Returns
    -------
    CheckReport
        Findings; equal ones only once.

    Raises
    ------
    Invalid
        It is no native plugin, was not built with AddressSanitizer, or the runtime that it was built with is not found.
    """
    manifest = package.manifest
    if package.kind != "native":
        raise Invalid("--sanitize is for native plugins; this one is in Python", field="sanitize")
    library = Path(package.program.target)
    runtime = find_runtime(library, is_built=is_sanitized(package))
    report = CheckReport(
        {"id": manifest.guid, "name": manifest.name, "version": manifest.version, "kind": package.kind}
    )
    report.notes["sanitizer"] = runtime.name
    request: dict[str, Any] = {"library": str(library), "samples": []}
    for number, sample in enumerate(samples):
        path = scratch / f"sanitized-{number}.npy"
        np.save(path, _pixels(sample, package))
        given = params | _geometry(sample, package)
        request["samples"].append({"name": sample.name, "path": str(path), "params": orjson.dumps(given).decode()})
    rows = {sample.name: Row(sample.name, sample.shape) for sample in samples}
    seconds = package.program.timeout * _SLOWER
    seen: set[str] = set()
    for output in _outputs(request, runtime, package.folder, seconds):
        for finding in output.findings:
            key = _NUMBER.sub("#", finding.message.partition(";")[0])
            if key not in seen:
                seen.add(key)
                report.findings.append(finding)
        for name, message in output.failures.items():
            rows[name].outcome, rows[name].message = "refused", message
        if output.ended_in is not None and output.ended_in in rows:
            rows[output.ended_in].outcome = "failed"
    report.rows.extend(rows.values())
    return report


def find_runtime(library: Path, *, is_built: bool) -> Path:
    """Find the AddressSanitizer runtime that a library was built with. Raises `Invalid` when there is none."""
    if not is_built:
        raise Invalid(
            f"{library.name} was not built with AddressSanitizer: compile it with -fsanitize=address,undefined -g (in "
            "a folder that `neurdicom plugin new` made, `make sanitize` does), and name it with --library",
            field="sanitize",
        )
    named = _RUNTIME.search(library.read_bytes())
    wanted = named[0].decode() if named else "libasan.so"
    looked = []
    for compiler in dict.fromkeys([os.environ.get("CXX", "c++"), os.environ.get("CC", "cc"), "gcc", "clang"]):
        if (found := shutil.which(compiler)) is None:
            continue
        for name in dict.fromkeys([wanted, re.sub(r"\.so.*$", ".so", wanted)]):
            answer = subprocess.run([found, f"-print-file-name={name}"], capture_output=True, text=True, check=False)
            path = Path(answer.stdout.strip())
            if path.is_absolute() and path.is_file():
                return path.resolve()
        looked.append(compiler)
    where = f"of {', '.join(looked)}" if looked else "since no compiler is installed"
    raise Invalid(
        f"{library.name} needs the runtime {wanted}, which was not found {where}; install the compiler that built it"
        f"{'' if named else ', with a shared runtime (clang: -shared-libasan)'}",
        field="sanitize",
    )


def _preloaded(runtime: Path) -> list[Path]:
    """List the runtime, and the C++ library, which Python does not load: without it any throw would abort."""
    found = [runtime]
    for compiler in ("c++", "g++", "clang++"):
        if shutil.which(compiler) is None:
            continue
        answer = subprocess.run(
            [compiler, "-print-file-name=libstdc++.so.6"], capture_output=True, text=True, check=False
        )
        path = Path(answer.stdout.strip())
        if path.is_absolute() and path.is_file():
            return [*found, path.resolve()]
    return found


def _pixels(sample: Sample, package: ExtractedPlugin) -> Any:
    slices = [
        to_double(load_stored(one.path, one.layout, one.frame or 1), package.program.input) for one in sample.inputs
    ]
    return np.stack(slices) if sample.volume else slices[0]


def _geometry(sample: Sample, package: ExtractedPlugin) -> dict[str, Any]:
    """Make a volume's `_image` parameter, as the server does."""
    if not sample.volume:
        return {}
    planes = [cast(Plane, dict(one.attributes) | {"id": one.instance, "frame": 1}) for one in sample.inputs]
    return {"_image": describe_volume(planes, package.program.input)}


def _outputs(request: dict[str, Any], runtime: Path, folder: Path, seconds: float) -> Iterable[SanitizerOutput]:
    """Run the samples; after one that ended the process, the rest of them in another."""
    waiting: list[dict[str, Any]] = request["samples"]
    first = True
    while waiting or first:
        first = False
        text, status = _run(request | {"samples": waiting}, runtime, folder, seconds)
        output = read_output(text, status, Path(request["library"]))
        yield output
        if output.ended_in is None:
            return
        names = [sample["name"] for sample in waiting]
        if output.ended_in not in names:  # while it was loaded, or unloaded
            return
        waiting = waiting[names.index(output.ended_in) + 1 :]


def _run(request: dict[str, Any], runtime: Path, folder: Path, seconds: float) -> tuple[str, int | None]:
    """Run one process; return its standard error and its exit status, None when it took too long."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEURDICOM_")}
    environment |= {
        "LD_PRELOAD": os.pathsep.join(map(str, _preloaded(runtime))),
        "ASAN_OPTIONS": _ASAN_OPTIONS,
        "UBSAN_OPTIONS": "halt_on_error=0:color=never",
        "PYTHONMALLOC": "malloc",  # reads past the end of the parameters are detected, too
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parents[4]), os.environ.get("PYTHONPATH", "")])),
    }
    command = [sys.executable, "-m", "neurdicom.plugins.devtools.sanitizer.child"]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(request).encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=folder,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return (error.stderr or b"").decode(errors="replace"), None
    return done.stderr.decode(errors="replace"), done.returncode
