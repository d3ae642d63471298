"""A data folder to back up, and the place for its backups."""

from pathlib import Path

import pytest

from tests.support.backups import fill


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with three instances."""
    fill(tmp_path / "data", 1, 2, 3)
    return tmp_path / "data"


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "backups"
