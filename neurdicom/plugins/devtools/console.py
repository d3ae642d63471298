"""A report for people."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from neurdicom.plugins.devtools.report import Finding, Report, Row, Severity

_OUTCOMES = {"ok": "[green]ok[/]", "refused": "[yellow]refused[/]", "failed": "[red]failed[/]"}
_MARKS = {Severity.PROBLEM: "[red]problem[/]", Severity.ADVICE: "[yellow]advice[/] "}

#: Samples that are named with a finding.
_SHOWN = 3


def show(report: Report, console: Console) -> None:
    """Print a report: a table of the samples, then what was found, then the verdict."""
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
        left = f"each leaves {', '.join(grown)}" if grown else "nothing is left behind"
        console.print(f"{growth['calls']} calls with {growth['sample']}: {left}")
    for finding, samples in _grouped(report.findings):
        console.print(_line(finding, samples), soft_wrap=True, highlight=False)
    problems = sum(finding.severity is Severity.PROBLEM for finding in report.findings)
    verdict = "[green]Nothing is wrong.[/]" if report.ok else f"[red]{problems} problem{'s' * (problems > 1)}.[/]"
    console.print(verdict)


def _grouped(findings: list[Finding]) -> list[tuple[Finding, list[str]]]:
    """What several samples have in common once, with their names; problems first."""
    grouped: dict[tuple[str, str, str], tuple[Finding, list[str]]] = {}
    for finding in sorted(findings, key=lambda each: each.severity is Severity.ADVICE):
        key = (finding.severity, finding.check, finding.message)
        _, samples = grouped.setdefault(key, (finding, []))
        if finding.sample:
            samples.append(finding.sample)
    return list(grouped.values())


def _line(finding: Finding, samples: list[str]) -> str:
    more = f", and {len(samples) - _SHOWN} more" if len(samples) > _SHOWN else ""
    where = f" ({escape(', '.join(samples[:_SHOWN]))}{more})" if samples else ""
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
