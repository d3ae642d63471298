"""The benchmarks, which nobody runs every day, go by the names that the package has."""

import importlib
from pathlib import Path

import pytest

from tests.support.checkout import CHECKOUT


@pytest.mark.parametrize("path", sorted((CHECKOUT / "benchmarks").glob("[!_]*.py")), ids=lambda path: path.stem)
def test_it_can_be_imported(path: Path) -> None:
    importlib.import_module(f"benchmarks.{path.stem}")
