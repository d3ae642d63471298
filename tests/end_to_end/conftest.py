"""A server on each catalog with the whole data set in it, uploaded file by file, and pydicom's reading of it."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.loaded import LoadedServer
from tests.support.server import Server


@pytest.fixture(scope="module", params=["sqlite", "mongodb"])
def catalog(request: pytest.FixtureRequest) -> str:
    """Which catalog a file's tests run on, one after the other."""
    return str(request.param)


@pytest.fixture(scope="module")
def options(catalog: str, request: pytest.FixtureRequest) -> list[str]:
    """Options of a server on the catalog; a database in MongoDB is the file's own."""
    if catalog == "sqlite":
        return []
    uri = request.getfixturevalue("mongodb_uri")
    return ["--mongodb-uri", f"{uri.rstrip('/')}/neurdicom_{uuid.uuid4().hex[:12]}"]


@contextmanager
def _loaded(data_set: Path, folder: Path, *options: str) -> Iterator[LoadedServer]:
    with Server(folder, *options) as server:
        folders = [path for path in data_set.iterdir() if path.is_dir() and path.name != "LICENSES"]
        files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
        loaded = LoadedServer(server, files)
        loaded.upload()
        yield loaded


@pytest.fixture(scope="session")
def loaded_sqlite(data_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedServer]:
    """The data set on the embedded catalog."""
    with _loaded(data_set, tmp_path_factory.mktemp("loaded")) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def loaded_mongodb(
    data_set: Path, mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LoadedServer]:
    """The data set on MongoDB."""
    database = f"{mongodb_uri.rstrip('/')}/neurdicom_{uuid.uuid4().hex[:12]}"
    with _loaded(data_set, tmp_path_factory.mktemp("loaded"), "--mongodb-uri", database) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def loaded(catalog: str, request: pytest.FixtureRequest) -> LoadedServer:
    """The data set on each catalog; shared by files, so leave it as it was."""
    found: LoadedServer = request.getfixturevalue(f"loaded_{catalog}")
    assert isinstance(found.server, Server)
    return found
