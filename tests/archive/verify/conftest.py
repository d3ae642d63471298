"""Servers whose files are damaged."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Server


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, for DIMSE too."""
    with Server.with_dimse(tmp_path / "data", "--dimse-accept", "any") as server:
        yield server
