"""The gates of a run of tests: no process under `--fast`, and nothing skipped where all tools are installed."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.checkout import CHECKOUT

SWALLOWED = """
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

def start():
    with suppress(AssertionError):
        os.system("exit 0")

@pytest.fixture
def starting():
    start()

@pytest.fixture
def starting_late():
    yield
    start()

def test_by_itself():
    start()

def test_by_a_thread():
    with ThreadPoolExecutor() as pool:
        pool.submit(os.system, "exit 0")

def test_by_a_fixture(starting):
    pass

def test_by_a_teardown(starting_late):
    pass

def test_not_at_all():
    pass
"""

SKIPPED = {
    "tool": "import pytest\npytest.importorskip('no_such_module')\ndef test_one(): ...",
    "whole": "import pytest\npytest.skip('mongod is not installed', allow_module_level=True)\ndef test_one(): ...",
    "test": "import pytest\ndef test_one(): pytest.skip('storescu is not installed')",
    "data": "import pytest\npytest.skip('the data set is not here', allow_module_level=True)\ndef test_one(): ...",
}


def run(folder: Path, plugin: str, sources: Mapping[str, str], *options: str, **environment: str) -> set[str]:
    """Run files of tests with a plugin of ours alone; the lines of their outcomes, without the folder."""
    tests = folder / "tests" / "one"
    tests.mkdir(parents=True)
    (folder / "pytest.ini").touch()
    for name, source in sources.items():
        (tests / f"test_{name}.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-p", f"tests.support.{plugin}"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "NEURDICOM_TEST"))}
    ours = {"PYTHONPATH": str(CHECKOUT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment}
    ended = subprocess.run([*command, *options], cwd=folder, env=kept | ours, capture_output=True, text=True)
    outcomes = re.findall(r"^(?:PASSED|FAILED|ERROR|SKIPPED) .*", ended.stdout, re.MULTILINE)
    assert outcomes, ended.stdout + ended.stderr
    return {line.replace("tests/one/", "") for line in outcomes}


def test_a_refused_process_fails_its_test_though_the_error_is_swallowed(tmp_path: Path) -> None:
    outcomes = run(tmp_path, "fast", {"it": SWALLOWED}, "--fast")
    assert {line.partition(" - ")[0] for line in outcomes if line.startswith(("FAILED", "ERROR"))} == {
        "FAILED test_it.py::test_by_itself",
        "FAILED test_it.py::test_by_a_thread",
        "ERROR test_it.py::test_by_a_fixture",
        "ERROR test_it.py::test_by_a_teardown",
    }
    assert "PASSED test_it.py::test_not_at_all" in outcomes


def test_a_skip_fails_where_all_tools_are_installed_but_for_the_data_set(tmp_path: Path) -> None:
    required = {"NEURDICOM_TEST_REQUIRE_TOOLS": "1"}
    outcomes = run(tmp_path, "not_tested", SKIPPED, "--continue-on-collection-errors", **required)
    assert {line.partition(" - ")[0] for line in outcomes} == {
        "ERROR test_tool.py",
        "ERROR test_whole.py",
        "FAILED test_test.py::test_one",
        "SKIPPED [1] test_data.py:2: the data set is not here",
    }


def test_elsewhere_a_skip_is_no_failure(tmp_path: Path) -> None:
    assert {line.split()[0] for line in run(tmp_path, "not_tested", SKIPPED)} == {"SKIPPED"}
