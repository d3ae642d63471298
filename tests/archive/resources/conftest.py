"""A server on each catalog for these tests; every test works below studies and patients of its own."""

from collections.abc import Iterator

import pytest

from tests.support.archive_client import Archive
from tests.support.server import Server


@pytest.fixture(scope="module")
def archive(any_server: Server) -> Iterator[Archive]:
    """The server on each catalog."""
    yield Archive(any_server)
