"""`make demo`: it installs what a demo needs and nothing else, and tells what to do next."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neurdicom.cli import demo_steps
from tests.support.checkout import CHECKOUT


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_it_installs_no_tools_of_the_tests(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "setup.py"):
        shutil.copy(CHECKOUT / name, tmp_path)
    (tmp_path / ".venv").mkdir()
    command = ["make", "--dry-run", "--no-print-directory", "demo", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "pip install --disable-pip-version-check -e ." in done.stdout
    assert ".[" not in done.stdout, "no extra is installed"
    assert done.stdout.rstrip().endswith("neurdicom demo")
    assert list((tmp_path / ".venv").iterdir()) == [], "a dry run makes nothing"

    (tmp_path / ".venv" / ".installed").touch()  # by `make install`, which has all that a demo needs
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "pip install" not in done.stdout


def test_it_ends_with_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    demo_steps.say_what_next("http://127.0.0.1:8080", "nd_token", Path("demo-output"))
    told = capsys.readouterr().out
    for each in ("/api/docs", "curl -H", "plugin list", "docs/guide.md", "serve --data", "until Ctrl-C"):
        assert each in told
    assert (CHECKOUT / "docs" / "guide.md").is_file()
