"""The check of a plugin: sample images through workers as the server runs them, and under observation."""

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from neurdicom.errors import NeurdicomError, PluginCrashed, PluginError, PluginFailed, PluginMemory, PluginTimeout
from neurdicom.plugins.devtools import conformance
from neurdicom.plugins.devtools.baseline import build_baseline
from neurdicom.plugins.devtools.leak_trend import growth, leaks
from neurdicom.plugins.devtools.package import ExtractedPlugin, is_sanitized
from neurdicom.plugins.devtools.report import Check, CheckReport, Row, advice, problem
from neurdicom.plugins.devtools.samples import Sample
from neurdicom.workers.executor import Task
from neurdicom.workers.pool import WorkerPool
from neurdicom.workers.pool_executor import PoolExecutor
from neurdicom.workers.program import Program, Reply

#: Seconds of all rounds of calls between which memory is measured, and bounds of the calls in a round.
_GROWTH_SECONDS: Final = 0.6
_CALLS: Final = (4, 200)
_ROUNDS: Final = 6

#: Seconds that all rounds may take at least; slower plugins are not checked for leaks.
_TOO_SLOW_TO_REPEAT: Final = 10.0


@dataclass(slots=True)
class _Run:
    """State of a check under way."""

    package: ExtractedPlugin
    samples: Sequence[Sample]
    params: dict[str, Any]
    report: CheckReport
    replies: dict[str, Reply] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    plain: Path | None = None

    @property
    def working(self) -> list[Sample]:
        """Samples that were answered."""
        return [sample for sample in self.samples if sample.name in self.replies]

    def task(self, sample: Sample, program: Program) -> Task:
        """Make the task of one sample."""
        return Task(program, sample.inputs, self.params, "npy", volume=sample.volume)

    def observed(self, sample: Sample) -> dict[str, Any]:
        """Make the arguments of the probe's verbs."""
        (one,) = sample.inputs
        return {
            "program": self.package.program.to_wire(),
            "plain": str(self.plain) if self.plain is not None else None,
            "path": one.path,
            "layout": dict(one.layout),
            "frame": one.frame,
            "edits": [],
            "params": self.params,
            "format": "npy",
        }


async def check_package(
    package: ExtractedPlugin, samples: Sequence[Sample], params: dict[str, Any], scratch: Path, *, slow: float
) -> CheckReport:
    """Check a plugin.

    Parameters
    ----------
    package : ExtractedPlugin
        The plugin.
    samples : sequence of Sample
        Sample images or series, in the order of the report.
    params : dict
        Converted parameters of all calls.
    scratch : Path
        A folder for compiled files.
    slow : float
        Seconds from which a call is reported as slow.

    Returns
    -------
    CheckReport
        Findings and measurements.
    """
    manifest = package.manifest
    report = CheckReport(
        {"id": manifest.guid, "name": manifest.name, "version": manifest.version, "kind": package.kind}
    )
    run = _Run(package, samples, params, report)
    if package.kind == "native":
        run.plain = build_baseline(scratch)
    _look_at_manifest(run)
    async with _workers() as pool:
        try:
            await pool.probe(package.program)
        except PluginError as error:
            hint = "; it was built with AddressSanitizer: give --sanitize" if is_sanitized(package) else ""
            report.findings.append(problem(Check.LOAD, f"{error}{hint}"))
            return report
        written = _files(package.folder)
        executor = PoolExecutor(pool)
        await _run_all(run, executor)
        await _repeat(run, executor)
        observer = _observer(package.program)
        for sample in samples:
            if not sample.volume:
                await _observe(run, pool, observer, sample)
        await _grow(run, pool, observer)
        await _grow_with_series(run, pool, executor)
    _look_at_files(run, written)
    _look_at_speed(run, slow)
    report.rows.extend(run.rows[sample.name] for sample in samples)
    if samples and not run.replies and report.ok:
        report.findings.append(problem(Check.RUN, "it refuses every sample; give one that it takes with --on"))
    return report


@contextlib.asynccontextmanager
async def _workers() -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(1)
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


def _observer(program: Program) -> Program:
    """Make the program of the probe, under the plugin's limits."""
    target = "neurdicom.plugins.devtools.probe"
    return Program("builtin", target, program.name, program.digest, timeout=program.timeout, memory=program.memory)


async def _run_all(run: _Run, executor: PoolExecutor) -> None:
    """Run each sample once, as the server does."""
    findings = run.report.findings
    for sample in run.samples:
        row = run.rows[sample.name] = Row(sample.name, sample.shape)
        try:
            reply = await executor.run(run.task(sample, run.package.program))
            row.result = conformance.describe(reply)
        except (PluginCrashed, PluginTimeout, PluginMemory) as error:
            row.outcome, row.message = "failed", str(error)
            findings.append(problem(Check.RUN, str(error), sample.name))
        except NeurdicomError as error:  # `_classify` later distinguishes a refusal from a failure
            row.outcome, row.message = "failed", str(error)
            if sample.volume or not isinstance(error, PluginFailed):
                findings.append(problem(Check.RUN, str(error), sample.name))
        else:
            run.replies[sample.name] = reply
            findings.extend(conformance.fit(run.package.manifest, sample, reply))
    kinds = {str(reply.meta.get("kind")) for reply in run.replies.values()}
    if run.package.manifest.result is None and kinds:
        message = f"META.json has no result.type; the plugin returned {' or '.join(sorted(kinds))}"
        findings.append(advice(Check.MANIFEST, message))


async def _repeat(run: _Run, executor: PoolExecutor) -> None:
    """Run each sample again, in reverse order: in the same worker, and in a fresh one."""
    fresh = replace(run.package.program, digest="a fresh worker")
    for program, where in ((run.package.program, "in the same worker"), (fresh, "in a fresh worker")):
        different: list[tuple[Sample, str]] = []
        for sample in reversed(run.working):
            try:
                reply = await executor.run(run.task(sample, program))
            except NeurdicomError as error:
                message = f"{error}; the first call had succeeded"
                run.report.findings.append(problem(Check.DETERMINISM, message, sample.name))
                continue
            before = run.replies[sample.name]
            if not conformance.same(before, reply):
                different.append((sample, conformance.difference(before, reply)))
        if different:
            sample, what = different[-1]
            more = f" (as with {len(different) - 1} other samples)" if len(different) > 1 else ""
            message = f"the same input {where} gave another result: {what}{more}"
            run.report.findings.append(problem(Check.DETERMINISM, message, sample.name))


async def _observe(run: _Run, pool: WorkerPool, observer: Program, sample: Sample) -> None:
    """Run one sample under observation: its effects on the process, its time and its memory."""
    row, findings = run.rows[sample.name], run.report.findings
    if row.outcome == "failed" and any(each.sample == sample.name and each.check is Check.RUN for each in findings):
        return
    arguments = run.observed(sample)
    timeout = observer.timeout
    try:
        seen = (await pool.call(observer, "run", arguments, timeout=timeout)).meta
        failure = seen["failure"]
        if not seen["sound"]:
            findings.append(problem(Check.BOUNDS, "it writes outside of the image that it was given", sample.name))
        if seen["short"] is not None:
            held, needed = seen["short"]
            message = f"the memory of the result holds {held} bytes, and its shape needs {needed}"
            findings.append(problem(Check.BOUNDS, message, sample.name))
        _look_at_settings(run, seen, sample)
        row.memory = seen["memory"]
        if row.outcome == "failed":
            _classify(run, row, failure)
            return
        if failure is not None:
            message = f"{failure['message']}; the first call had succeeded"
            findings.append(problem(Check.DETERMINISM, message, sample.name))
            return
        timed = (await pool.call(observer, "measure", arguments, timeout=60 * timeout)).meta
        row.seconds, row.baseline = timed["seconds"], timed["baseline"]
    except PluginCrashed as error:
        message = f"{error}, with an image that ends where the process's memory ends: it reads or writes outside of it"
        findings.append(problem(Check.BOUNDS, message, sample.name))
    except NeurdicomError as error:
        findings.append(problem(Check.RUN, str(error), sample.name))


def _classify(run: _Run, row: Row, failure: dict[str, Any] | None) -> None:
    """Distinguish an image that the plugin refused, which it may, from a failure."""
    if failure is not None and failure["stated"]:
        row.outcome = "refused"
        run.report.findings.append(advice(Check.RUN, f"it refuses: {row.message}", row.sample))
    else:
        hint = ": say why, with LastError" if row.message == "Process returned NULL" else ""
        run.report.findings.append(problem(Check.RUN, row.message + hint, row.sample))


def _look_at_settings(run: _Run, seen: dict[str, Any], sample: Sample) -> None:
    known = {each.message for each in run.report.findings if each.check is Check.SETTINGS}
    for name in seen["loading"]:
        message = f"loading it changes {name} of its process"
        if message not in known:
            run.report.findings.append(advice(Check.SETTINGS, message))
    for name in seen["changed"]:
        message = f"a call changes {name} of its process, and leaves it so"
        if message not in known:
            run.report.findings.append(problem(Check.SETTINGS, message, sample.name))


async def _grow(run: _Run, pool: WorkerPool, observer: Program) -> None:
    """Run one sample many times, and report what grows with the calls."""
    candidates = [sample for sample in run.working if run.rows[sample.name].seconds is not None]
    preferred = [sample for sample in candidates if sample.name == "odd size"]
    if not candidates:
        return
    sample = (preferred or sorted(candidates, key=lambda each: run.rows[each.name].seconds or 0.0))[0]
    seconds = run.rows[sample.name].seconds or 0.0
    if seconds * _CALLS[0] * _ROUNDS > _TOO_SLOW_TO_REPEAT:
        message = "it is too slow to be called many times, so leaks were not checked"
        run.report.findings.append(advice(Check.LEAK, message))
        return
    calls = max(_CALLS[0], min(_CALLS[1], int(_GROWTH_SECONDS / _ROUNDS / max(seconds, 1e-6))))
    try:
        reply = await pool.call(
            observer, "grow", run.observed(sample) | {"calls": calls}, timeout=_ROUNDS * calls * observer.timeout
        )
    except NeurdicomError as error:
        message = f"{error}, in {_ROUNDS * calls} calls one after the other"
        run.report.findings.append(problem(Check.LEAK, message, sample.name))
        return
    grown = growth(reply.meta["rounds"], calls)
    run.report.notes["growth"] = {"sample": sample.name, "calls": _ROUNDS * calls, "for_a_call": grown}
    run.report.findings.extend(leaks(grown, reply.meta["unfreed"], sample.name))


async def _grow_with_series(run: _Run, pool: WorkerPool, executor: PoolExecutor) -> None:
    """Time series, and run the smallest many times; the memory of their worker is measured from outside."""
    series = [sample for sample in run.working if sample.volume]
    for sample in series:
        start = time.perf_counter()
        with contextlib.suppress(NeurdicomError):  # a failure of the second call was reported before
            await executor.run(run.task(sample, run.package.program))
            run.rows[sample.name].seconds = time.perf_counter() - start
    if not series:
        return
    sample = min(series, key=lambda each: each.pixels)
    seconds = run.rows[sample.name].seconds or _TOO_SLOW_TO_REPEAT
    if seconds * _CALLS[0] * _ROUNDS > _TOO_SLOW_TO_REPEAT:
        return
    calls = max(_CALLS[0], min(_CALLS[1], int(_GROWTH_SECONDS / _ROUNDS / seconds)))
    rounds = []
    try:
        for _ in range(_ROUNDS):
            for _ in range(calls):
                await executor.run(run.task(sample, run.package.program))
            rounds.append({"resident": _held(pool, run.package.program)})
    except NeurdicomError as error:
        run.report.findings.append(problem(Check.LEAK, f"{error}, in many calls one after the other", sample.name))
        return
    grown = growth(rounds, calls)
    run.report.notes["growth"] = {"sample": sample.name, "calls": _ROUNDS * calls, "for_a_call": grown}
    run.report.findings.extend(leaks(grown, 0, sample.name))


def _held(pool: WorkerPool, program: Program) -> int:
    """Read the bytes of anonymous memory of a program's worker."""
    pids = [pid for each in pool.statistics() if each["digest"] == program.digest for pid in each["pids"]]
    status = Path(f"/proc/{pids[0]}/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("RssAnon:")[2].split()[0]) << 10


def _look_at_manifest(run: _Run) -> None:
    manifest = run.package.manifest
    if not manifest.version:
        message = "META.json has no version: users can't tell one build from the next"
        run.report.findings.append(advice(Check.MANIFEST, message))
    if manifest.models:
        message = f"it uses the models {', '.join(manifest.models)}; here it ran without them: try it on a server"
        run.report.findings.append(advice(Check.MANIFEST, message))


def _look_at_files(run: _Run, written: dict[str, tuple[int, int]]) -> None:
    for sample in run.samples:
        for each in sample.inputs:
            path = Path(each.path)
            if not path.is_file() or sha256(path.read_bytes()).hexdigest() != each.sha256:
                message = "it changes the file that it was given, which on a server is the stored instance"
                run.report.findings.append(problem(Check.FILES, message, sample.name))
    after = _files(run.package.folder)
    touched = sorted(name for name in written.keys() | after.keys() if written.get(name) != after.get(name))
    if touched:
        message = f"it writes into its own folder ({', '.join(touched[:3])}), which all of its workers share"
        run.report.findings.append(advice(Check.FILES, message))


def _look_at_speed(run: _Run, slow: float) -> None:
    plain = run.report.notes["baseline"] = "a plain C loop over the same doubles" if run.plain else "a numpy pass"
    slowest = max(run.rows.values(), key=lambda row: row.seconds or 0.0, default=None)
    if slowest is not None and slowest.seconds is not None and slowest.seconds > slow:
        ratio = f", {slowest.ratio:.0f} times {plain}" if slowest.ratio else ""
        message = f"a call takes {slowest.seconds:.2g} s{ratio}"
        run.report.findings.append(advice(Check.SPEED, message, slowest.sample))


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    """List size and modification time of each file, by name; Python's own compiled files are left out."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
