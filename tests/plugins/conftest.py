"""A server with one image in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.plugin_site import Site, visit
from tests.support.server import Server


@pytest.fixture
def site(server: Server) -> Iterator[Site]:
    """The shared server."""
    yield from visit(server)


@pytest.fixture
def any_site(any_server: Server) -> Iterator[Site]:
    """A server on each catalog in turn."""
    yield from visit(any_server)


@pytest.fixture
def own_server(tmp_path: Path) -> Server:
    """A server that the test starts and stops itself."""
    return Server(tmp_path / "data")
