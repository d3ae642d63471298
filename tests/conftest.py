"""Fixtures that all tests share: the data set, real servers, and what must not be left behind."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import settings

from neurdicom.security.bootstrap import read_first_sign_in
from tests.support.checkout import DATA_SET
from tests.support.mongodb import mongodb
from tests.support.server import Server

# Generated examples are the same in each run, so that a failure is the change's; `make fuzz` looks for new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("fuzz", max_examples=1000, print_blob=True)
settings.load_profile("same")

pytest_plugins = ["tests.support.fast", "tests.support.garbage", "tests.support.not_tested"]


@pytest.fixture(scope="session", autouse=True)
def no_kept_login(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A user's settings folder of the session's own: commands must not talk to the server that `login` kept."""
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="session")
def data_set() -> Path:
    """Folder of the developers' DICOM files, which are not a part of the repository."""
    if not DATA_SET.is_dir():
        pytest.skip(f"the developers' data set is not at {DATA_SET}")
    return DATA_SET


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on the embedded catalog that asks for no credential; shared, so leave nothing in it."""
    with Server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="session")
def mongodb_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A MongoDB, started by the session unless the environment names one."""
    with mongodb(tmp_path_factory.mktemp("mongodb")) as uri:
        yield uri


@pytest.fixture(scope="session")
def sqlite_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on the embedded catalog, beside the one on MongoDB."""
    with Server(tmp_path_factory.mktemp("server-sqlite")) as running:
        yield running


@pytest.fixture(scope="session")
def mongodb_server(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on MongoDB, with a database of its own."""
    database = f"{mongodb_uri.rstrip('/')}/neurdicom_{uuid.uuid4().hex[:12]}"
    with Server(tmp_path_factory.mktemp("server-mongodb"), "--mongodb-uri", database) as running:
        yield running


@pytest.fixture(scope="module", params=["sqlite", "mongodb"])
def any_server(request: pytest.FixtureRequest) -> Server:
    """A server on each catalog in turn; both run on, whatever order the tests have."""
    running = request.getfixturevalue(f"{request.param}_server")
    assert isinstance(running, Server)
    return running


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for credentials, on its first start; shared, so leave its first administrator alone."""
    with Server(tmp_path_factory.mktemp("secured"), auth=True) as running:
        yield running


@pytest.fixture(scope="session")
def first_password(secured: Server) -> tuple[str, str]:
    """Address and one-time password of the first administrator."""
    first = read_first_sign_in(secured.data)
    assert first is not None
    return first.email, first.password


@pytest.fixture(scope="session")
def admin_token(secured: Server, first_password: tuple[str, str]) -> str:
    """A session of the first administrator."""
    email, password = first_password
    answer = secured.client.post("/api/users/auth", json={"email": email, "password": password})
    assert answer.status_code == 200, answer.text
    secured.client.cookies.clear()
    token: str = answer.json()["token"]
    return token


@pytest.fixture
def admin(secured: Server, admin_token: str) -> Iterator[httpx.Client]:
    """A client of the first administrator's."""
    with httpx.Client(base_url=secured.url, headers={"Authorization": f"Bearer {admin_token}"}) as client:
        yield client


@pytest.fixture
def anyone(secured: Server) -> Iterator[httpx.Client]:
    """A client without a credential."""
    with httpx.Client(base_url=secured.url) as client:
        yield client
