"""A server with an image and a plugin that counts its calls."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.plugin_site import Site, visit
from tests.support.results import Counter
from tests.support.server import Server


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    return Counter(tmp_path / "calls")


@pytest.fixture
def site(server: Server, counter: Counter) -> Iterator[Site]:
    """The shared server, with the image and the plugin."""
    for site in visit(server):
        assert site.install(counter.archive()).status_code == 201
        yield site


@pytest.fixture
def any_site(any_server: Server, counter: Counter) -> Iterator[Site]:
    """A server on each catalog in turn, with the image and the plugin."""
    for site in visit(any_server):
        assert site.install(counter.archive()).status_code == 201
        yield site
