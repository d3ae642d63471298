"""The tutorial's four changes work as printed, on a copy of the package: its tests pass, and so do the layout's."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support import tutorial
from tests.support.checkout import CHECKOUT

#: The fixtures that the tutorial's tests ask for, as one server.
FIXTURES = '''"""One server for all tests of the tutorial."""

from collections.abc import Iterator

import pytest

from tests.support.server import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server.with_dimse(tmp_path_factory.mktemp("server"), "--dimse-accept", "any") as running:
        yield running


@pytest.fixture(scope="session")
def dimse(server: Server) -> Server:
    return server
'''


def test_all_four(tmp_path: Path) -> None:
    shutil.copytree(CHECKOUT / "neurdicom", tmp_path / "neurdicom", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("support", "architecture"):
        shutil.copytree(CHECKOUT / "tests" / name, tmp_path / "tests" / name)
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    (tmp_path / "tests" / "conftest.py").write_text(FIXTURES, encoding="utf-8")
    written = tutorial.apply(tmp_path)
    for folder in {file.parent for file in (tmp_path / "tests").rglob("test_*.py")}:
        for package in (folder, *folder.parents)[: len(folder.relative_to(tmp_path).parts)]:
            (package / "__init__.py").touch()
    tests = [path for path in written if path.startswith("tests/")]
    assert len(tests) == 4
    pytest = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore::ResourceWarning")
    ran = run(tmp_path, *pytest, *tests)
    assert re.search(r"\d{2} passed", ran)
    rules = "imports_point_down or foreign_libraries or names_adapters or circles"
    run(tmp_path, *pytest, "tests/architecture/test_layers.py", "tests/architecture/test_circles.py", "-k", rules)
    if shutil.which("ruff", path=str(Path(sys.executable).parent)):
        run(tmp_path, "-m", "ruff", "check", "--no-cache", *written)
        run(tmp_path, "-m", "ruff", "format", "--no-cache", "--check", *written)


def run(folder: Path, *arguments: str) -> str:
    """Run Python with the package in a folder."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("NEURDICOM_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}:\n{done.stdout}\n{done.stderr}"
    return done.stdout
