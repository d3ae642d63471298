"""Servers that take associations, and what the tests of DIMSE share."""

import gc
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """pynetdicom leaves sockets open where a peer breaks off; those of the server are in processes of its own."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))


@pytest.fixture(scope="module", autouse=True)
def left_sockets() -> Iterator[None]:
    """Collect what is left of them before another test does."""
    yield
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()
