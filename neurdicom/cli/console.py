"""Output of commands: a job, as a progress bar or as lines of JSON, and the report of a plugin's check."""

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from neurdicom.client import ServerSentEvent
from neurdicom.plugins.devtools.package import ExtractedPlugin
from neurdicom.plugins.devtools.report import CheckReport, Finding, Row, Severity

#: Largest number of failures of a job that are printed.
_MOST_FAILURES = 20

#: Largest number of samples that are named with a finding.
_MOST_SAMPLES = 3

_OUTCOMES = {"ok": "[green]ok[/]", "refused": "[yellow]refused[/]", "failed": "[red]failed[/]"}
_MARKS = {Severity.PROBLEM: "[red]problem[/]", Severity.ADVICE: "[yellow]advice[/] "}


class JobView(ABC):
    """A view of a job, shown while the context lasts."""

    def __enter__(self) -> None:
        """Show the view."""
        return

    def __exit__(self, *error: object) -> None:
        """Remove the view."""
        return

    @abstractmethod
    def take(self, event: ServerSentEvent) -> None:
        """Show an event of the job."""

    @abstractmethod
    def note(self, text: str) -> None:
        """Show a message to the person at the terminal."""


class JobLines(JobView):
    """A view that prints a job as lines of JSON on standard output, for scripts."""

    def take(self, event: ServerSentEvent) -> None:
        """Print an event, unless it reports progress."""
        if event.type != "progress":
            click.echo(json.dumps({"event": event.type, **event.data}))

    def note(self, text: str) -> None:
        """Print a message on standard error."""
        click.echo(text, err=True)


class JobBar(JobView):
    """A view that shows a job as a bar on standard error, and its end on standard output."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.fields[total_text]}"),
            TextColumn("{task.fields[pace]}"),
            console=Console(stderr=True),
        )
        self._task: TaskID | None = None
        self._failures = 0

    def __enter__(self) -> None:
        self._task = self._progress.add_task("waiting", total=None, total_text="?", pace="")
        self._progress.start()

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def take(self, event: ServerSentEvent) -> None:
        """Move the bar, print a failure, or print how the job ended."""
        if event.type == "failure":
            self._failures += 1
            if self._failures <= _MOST_FAILURES:
                what = event.data.get("instance") or event.data.get("series")
                self._progress.console.print(f"{what}: {event.data['error']['detail']}", markup=False, highlight=False)
        elif event.type in ("progress", "end"):
            self._move(event.data)
        if event.type == "end":
            job = event.data
            self._progress.stop()
            if job["failed"] > self._failures:  # the job failed as a whole, not on single items
                click.echo("\n".join(str(one["reason"]) for one in job["errors"][:_MOST_FAILURES]), err=True)
            skipped = sum(job["results"].get("skipped", {}).values())
            left_out = f", {skipped} left out" if skipped else ""
            click.echo(f"{job['state']}: {job['done']} done, {job['failed']} failed{left_out} (job {job['id']})")

    def note(self, text: str) -> None:
        """Print a message above the bar."""
        self._progress.console.print(text, markup=False)

    def _move(self, job: Mapping[str, Any]) -> None:
        assert self._task is not None
        pace = "" if not job["rate"] else f"{job['rate']:g}/s"
        if job["time_left"] is not None:
            minutes, seconds = divmod(round(job["time_left"]), 60)
            pace += f", {minutes}:{seconds:02} left"
        self._progress.update(
            self._task,
            description=job["state"],
            total=job["total"],
            completed=job["done"] + job["failed"],
            total_text="?" if job["total"] is None else str(job["total"]),
            pace=pace,
        )


def show_report(report: CheckReport) -> None:
    """Print a report: a table of the samples, then the findings, then the verdict."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    if report.rows:
        timed = any(row.seconds is not None for row in report.rows)
        table = Table(box=None, pad_edge=False)
        table.add_column("sample")
        table.add_column("size", justify="right")
        table.add_column("", width=7)
        if timed:
            for heading in ("time", "plain", "ratio", "memory"):
                table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("result", overflow="ellipsis", no_wrap=True)
        for row in report.rows:
            times = (
                [_seconds(row.seconds), _seconds(row.baseline), _ratio(row), _mebibytes(row.memory)] if timed else []
            )
            shape = "×".join(map(str, row.shape))
            table.add_row(escape(row.sample), shape, _OUTCOMES[row.outcome], *times, escape(row.result))
        console.print(table)
    if "baseline" in report.notes:
        console.print(f"plain: {report.notes['baseline']}")
    if (growth := report.notes.get("growth")) is not None:
        grown = [f"{value:.0f} {name}" for name, value in growth["for_a_call"].items() if value]
        left = f"each leaks {', '.join(grown)}" if grown else "no leaks"
        console.print(f"{growth['calls']} calls with {growth['sample']}: {left}")
    for finding, samples in _grouped(report.findings):
        console.print(_line(finding, samples), soft_wrap=True, highlight=False)
    problems = sum(finding.severity is Severity.PROBLEM for finding in report.findings)
    verdict = "[green]No problems found.[/]" if report.ok else f"[red]{problems} problem{'s' * (problems > 1)}.[/]"
    console.print(verdict)


def _grouped(findings: list[Finding]) -> list[tuple[Finding, list[str]]]:
    """Merge the findings that several samples share, with the names of those samples; problems come first."""
    grouped: dict[tuple[str, str, str], tuple[Finding, list[str]]] = {}
    for finding in sorted(findings, key=lambda each: each.severity is Severity.ADVICE):
        key = (finding.severity, finding.check, finding.message)
        _, samples = grouped.setdefault(key, (finding, []))
        if finding.sample:
            samples.append(finding.sample)
    return list(grouped.values())


def _line(finding: Finding, samples: list[str]) -> str:
    more = f", and {len(samples) - _MOST_SAMPLES} more" if len(samples) > _MOST_SAMPLES else ""
    where = f" ({escape(', '.join(samples[:_MOST_SAMPLES]))}{more})" if samples else ""
    return f"{_MARKS[finding.severity]} {finding.check}{where}: {escape(finding.message)}"


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    if value < 1e-3:
        return f"{value * 1e6:.0f} µs"
    return f"{value * 1e3:.1f} ms" if value < 1 else f"{value:.2f} s"


def _ratio(row: Row) -> str:
    return "" if row.ratio is None else f"{row.ratio:.1f}"


def _mebibytes(value: int | None) -> str:
    return "" if value is None else f"{value / (1 << 20):.1f} MiB"


def introduce_plugin(package: ExtractedPlugin, arguments: Mapping[str, Any], derived: Collection[str]) -> None:
    """Print the plugin that is checked, with its parameters.

    Parameters
    ----------
    package : ExtractedPlugin
    arguments : Mapping[str, Any]
        Values that the runs pass, by name of the parameter.
    derived : collection of str
        Names of the parameters whose values were made up.
    """
    manifest = package.manifest
    click.echo(f"{manifest.name} {manifest.version} by {manifest.author}: {package.kind}, {len(package.files)} files")
    for each in manifest.params.values():
        need = "required" if each.required else "optional"
        need = f"default {each.default!r}" if each.has_default else need
        made_up = f", here {arguments[each.name]!r}" if each.name in derived else ""
        click.echo(f"  {each.name}: {each.takes()} ({need}{made_up})")
