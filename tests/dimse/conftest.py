"""Servers that take associations, and what the tests of DIMSE share."""

import shutil
from collections.abc import Callable, Iterator

import pytest

from tests.support.server import Server


@pytest.fixture(scope="session")
def dimse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes everybody's associations; shared, so use studies of your own."""
    with Server.with_dimse(tmp_path_factory.mktemp("dimse"), "--dimse-accept", "any") as running:
        yield running


@pytest.fixture(scope="session")
def tool() -> Callable[[str], str]:
    """Find a program, or skip the test."""

    def find(name: str) -> str:
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not installed (Debian: dcmtk)")
        return found

    return find
