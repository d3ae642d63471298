"""Tests left out for want of the developers' data set or of a tool: a summary, once, loudly, at the run's end.

Where `NEURDICOM_TEST_REQUIRE_TOOLS` says that all tools are installed, a skipped test or file fails, unless it wants
the data set, or a kernel that does what this one refuses.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable

import pytest

#: What stands in the reason of a test that wants a file of the data set.
DATA_SET = "data set"
#: What stands in the reasons of tests that want what containers and kernels may refuse.
OF_KERNELS = ("may not mount", "the kernel's Landlock")


def summary(skipped: Iterable[tuple[str, str]]) -> list[str]:
    """Tell what was skipped and why.

    Parameters
    ----------
    skipped : iterable of (str, str)
        Id of a test, and the reason that it gave.

    Returns
    -------
    list of str
        A line for each reason, the one with most tests first: how many there are, and in which folders.
    """
    folders: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for test, reason in skipped:
        reason = reason.removeprefix("Skipped: ")
        if DATA_SET in reason:
            reason = "the developers' data set, or a file of it, is not there"
        folders[reason][test.split("/")[1] if "/" in test else test] += 1
    lines = []
    for reason, found in sorted(folders.items(), key=lambda item: -item[1].total()):
        places = ", ".join(f"{count} in {folder}" for folder, count in found.most_common())
        lines.append(f"{found.total()} tests: {reason} ({places})")
    return lines


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Give the reason of a skipped test or file."""
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that is skipped where none may be."""
    report = yield
    if not hasattr(report, "wasxfail"):
        _require(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a file that is skipped as a whole where none may be."""
    report = yield
    _require(report)
    return report


def _require(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and os.environ.get("NEURDICOM_TEST_REQUIRE_TOOLS"):
        reason = reason_of(report)
        if not any(allowed in reason for allowed in (DATA_SET, *OF_KERNELS)):
            report.outcome, report.longrepr = "failed", f"no test may be skipped here: {reason}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not tested."""
    skipped = [(report.nodeid, reason_of(report)) for report in terminalreporter.stats.get("skipped", [])]
    if skipped:
        terminalreporter.section(f"NOT TESTED HERE: {len(skipped)} tests", sep="!", red=True, bold=True)
        for line in summary(skipped):
            terminalreporter.write_line(line, red=True)
