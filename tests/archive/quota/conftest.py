"""Servers with limits, on each catalog."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.quota import ServerMaker
from tests.support.server import Server


@pytest.fixture(params=["sqlite", "mongodb"])
def make_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerMaker]:
    """A maker of servers on one folder and one catalog; each ends before the next begins."""
    options: list[str] = []
    if request.param == "mongodb":
        uri = request.getfixturevalue("mongodb_uri").rstrip("/")
        options = ["--mongodb-uri", f"{uri}/quota_{uuid.uuid4().hex[:12]}"]
    with ExitStack() as stack:

        def make(*more: str) -> Server:
            stack.close()
            server = Server(tmp_path / "data", *options, "--stable-seconds", "0.2", *more)
            stack.enter_context(server)
            return server

        yield make
