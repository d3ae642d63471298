"""A server on each catalog with the whole data set in it, uploaded file by file, and pydicom's reading of it."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.loaded import LoadedServer
from tests.support.server import Server


@pytest.fixture(scope="session", params=["sqlite", "mongodb"])
def options(request: pytest.FixtureRequest) -> list[str]:
    """Options of a server on each catalog; the database is one of the test session's own."""
    if request.param == "sqlite":
        return []
    uri = request.getfixturevalue("mongodb_uri")
    return ["--mongodb-uri", f"{uri.rstrip('/')}/neurdicom_{uuid.uuid4().hex[:12]}"]


@pytest.fixture(scope="session")
def loaded(options: list[str], data_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedServer]:
    """The data set on each catalog; shared, so leave it as it was."""
    with Server(tmp_path_factory.mktemp("loaded"), *options) as server:
        folders = [path for path in data_set.iterdir() if path.is_dir() and path.name != "LICENSES"]
        files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
        loaded = LoadedServer(server, files)
        loaded.upload()
        yield loaded
