"""A server that asks for credentials, as it comes."""

from collections.abc import Iterator

import httpx
import pytest

from neurdicom.security.bootstrap import read_first_sign_in
from tests.support.server import Server


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server, just started for the first time; shared, so leave its first administrator alone."""
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
