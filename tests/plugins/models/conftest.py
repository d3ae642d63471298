"""A server with one image in it, and what the tests do with models there."""

from collections.abc import Iterator

import pytest

from tests.support.model_site import Site, visit
from tests.support.server import Server


@pytest.fixture
def site(server: Server) -> Iterator[Site]:
    """The shared server."""
    yield from visit(server)


@pytest.fixture
def any_site(any_server: Server) -> Iterator[Site]:
    """A server on each catalog in turn."""
    yield from visit(any_server)
