"""Common parts of the tests of the authors' tools: plugins by a few lines of code, and the command."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from neurdicom.cli.plugin import plugin
from tests.support.checkout import CHECKOUT, HEADERS

ZOO = CHECKOUT / "tests" / "plugins" / "devtools" / "zoo"
INCLUDE = HEADERS

has_compiler = pytest.mark.skipif(
    None in map(shutil.which, ("make", "cc", "c++")), reason="make and a C++ compiler are not installed"
)


def invoke(*arguments: Any) -> tuple[int, str]:
    """Run `neurdicom plugin ...`; answers its exit status and what it printed."""
    result = CliRunner().invoke(plugin, [str(each) for each in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def check(path: Path, *options: Any) -> dict[str, Any]:
    """The report of `neurdicom plugin check --json`; its exit status fits it."""
    status, output = invoke("check", path, "--json", *options)
    report: dict[str, Any] = json.loads(output)
    assert status == (0 if report["ok"] else 1)
    return report


def found(report: dict[str, Any], severity: str = "problem") -> dict[str, str]:
    """The findings of a severity: message by check; of several, the first."""
    made: dict[str, str] = {}
    for finding in report["findings"]:
        if finding["severity"] == severity:
            made.setdefault(finding["check"], finding["message"])
    return made


def environment() -> dict[str, str]:
    """The environment with `neurdicom` on the path."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def build(*command: Any, cwd: Path | None = None) -> str:
    """Run a tool that has to succeed; answers what it printed."""
    done = subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, env=environment(), cwd=cwd, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def python_plugin(folder: Path, body: str, **fields: Any) -> Path:
    """A Python plugin; `body` is the body of `process`, indented by nothing, or a whole module with a class."""
    folder.mkdir(parents=True)
    meta = {"plugin_guid": "zoo", "name": "zoo", "author": "Tests", "version": "1", **fields}
    (folder / "META.json").write_text(json.dumps(meta))
    if "class Plugin" not in body:
        lines = "".join(f"        {line}\n" for line in body.strip().splitlines())
        body = (
            "import os\n\nimport numpy as np\n\nkept = []\n\n\nclass Plugin:\n"
            f"    def process(self, ds=None, **kwargs):\n{lines}"
        )
    (folder / "plugin.py").write_text(body)
    return folder


def native_plugin(folder: Path, library: Path, **fields: Any) -> Path:
    """A native plugin around a library that was built before."""
    folder.mkdir(parents=True)
    meta = {"plugin_guid": "zoo", "name": "zoo", "author": "Tests", "version": "1", **fields}
    (folder / "META.json").write_text(json.dumps(meta))
    shutil.copy(library, folder / "plugin.so")
    return folder
