"""`pytest --fast`: the tests that start no process and are not marked `slow`, enough while code is moved about.

`pytest --rest` runs all others, and none of them: together they are the whole.

A test starts processes when its code, a fixture that it asks for, or whatever of the tests either of them calls names
one of `STARTERS`. What that overlooks fails under `--fast`: an audit hook refuses processes while a test runs, and the
test fails even if its code goes on after the refusal.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from functools import cache
from types import CodeType, FunctionType
from typing import Any

import pytest
from click.testing import CliRunner

from neurdicom.workers.pool import WorkerPool

#: What starts processes.
STARTERS = (subprocess, WorkerPool, CliRunner)
#: Parameters of fixtures that make a test one of a peer.
PEERS = {"mongodb"}
REFUSED = {"subprocess.Popen", "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn", "os.system"}

#: Tests that were left out, by folder.
LEFT_OUT = pytest.StashKey[Counter[str]]()

_running = False
#: What was refused in the phase of a test that is under way.
_refused: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption(
        "--fast", action="store_true", help="leave out the tests that start servers, peers or other processes"
    )
    parser.addoption("--rest", action="store_true", help="leave out the tests that --fast runs")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave long tests out; else put files without any last: their short ones fill up the end of a run."""
    long = [item for item in items if item.get_closest_marker("slow") or _needs_processes(item)]
    if not config.getoption("--fast"):
        if config.getoption("--rest"):
            chosen = set(long)
            config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
            items[:] = long
        files = {item.path for item in long}
        items.sort(key=lambda item: item.path not in files)
        return
    names = {item.nodeid for item in long}
    items[:] = [item for item in items if item.nodeid not in names]
    config.hook.pytest_deselected(items=long)
    config.stash[LEFT_OUT] = Counter(item.nodeid.split("/")[1] for item in long)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse processes from now on."""
    if config.getoption("--fast"):
        sys.addaudithook(_refuse)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what one of several processes left out; all leave out the same."""
    node.config.stash[LEFT_OUT] = Counter(node.workeroutput.get("left_out"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what was left out to the process that reports."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = dict(session.config.stash.get(LEFT_OUT, {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out."""
    if left_out := terminalreporter.config.stash.get(LEFT_OUT, None):
        listed = ", ".join(f"{count} in {folder}" for folder, count in left_out.most_common())
        terminalreporter.section("left out: tests that start processes or are slow")
        terminalreporter.write_line(f"{left_out.total()} tests: {listed}. `make test` runs them.")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Tell the audit hook that a test runs."""
    global _running
    _running = True
    try:
        return (yield)
    finally:
        _running = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a phase of a test in which a process was refused, whatever became of the error."""
    report = yield
    if _refused and not report.failed:
        report.outcome, report.longrepr = "failed", "\n".join(_refused)
    _refused.clear()
    return report


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if _running and event in REFUSED:
        _refused.append(f"a test starts a process ({event} {arguments[:2]}): name what does it in {__name__}.STARTERS")
        raise AssertionError(_refused[-1])


def _needs_processes(item: pytest.Item) -> bool:
    assert isinstance(item, pytest.Function)
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    if any(isinstance(value, str) and value in PEERS for value in parameters):
        return True
    fixtures = [each[-1].func for each in item._fixtureinfo.name2fixturedefs.values()]
    return any(_starts(function) for function in [item.function, *fixtures])


@cache
def _starts(called: Any) -> bool:
    """Tell whether a function, or a class's methods, name a starter, or what of the tests names one."""
    found, seen = [called], {called}
    while found:
        for function in _functions(found.pop()):
            for name in _names(function.__code__):
                value = function.__globals__.get(name)
                if any(value is starter for starter in STARTERS):
                    return True
                is_ours = callable(value) and getattr(value, "__module__", "").startswith(("tests.", "benchmarks."))
                if is_ours and value not in seen:
                    seen.add(value)
                    found.append(value)
    return False


def _functions(value: Any) -> Iterator[FunctionType]:
    """Give a function without its decorators, or the methods of a class and its bases."""
    members = (
        [member for kind in value.__mro__ for member in vars(kind).values()] if isinstance(value, type) else [value]
    )
    for member in members:
        member = getattr(member, "fget", None) or getattr(member, "__func__", member)
        while hasattr(member, "__wrapped__"):
            member = member.__wrapped__
        if isinstance(member, FunctionType):
            yield member


def _names(code: CodeType) -> set[str]:
    inner = (_names(each) for each in code.co_consts if isinstance(each, CodeType))
    return set(code.co_names).union(*inner)
