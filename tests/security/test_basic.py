"""HTTP Basic authentication: whom it lets in, how often a password is checked, and when that is forgotten."""

import asyncio
import base64
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from requests.auth import HTTPBasicAuth

from neurdicom.errors import TooManyAttempts
from neurdicom.security.access import Principal
from neurdicom.security.authentication import Authenticator
from neurdicom.security.basic import ACCOUNT_SECONDS, VERIFIED_SECONDS, parse_basic
from neurdicom.security.tokens import TokenStore
from neurdicom.security.users import UserService
from tests.support.server import Server
from tests.support.users import Clock, open_users

PASSWORD = "correct: horse battery ü"
EMAIL = "ann@example.org"
BY = Principal("a1", "admin@example.org", is_admin=True)


def basic(email: str = EMAIL, password: str = PASSWORD, encoding: str = "utf-8") -> str:
    return "Basic " + base64.b64encode(f"{email}:{password}".encode(encoding)).decode()


class Counted:
    """An authenticator on a user service that counts how often a password is checked."""

    def __init__(self, users: UserService, clock: Clock) -> None:
        self.checks = 0
        self._users = users
        self.authenticator = Authenticator(
            TokenStore(users._accounts._documents, clock=clock), users._accounts.find, self._verify, clock=clock
        )

    async def _verify(self, email: str, password: str, address: str):
        self.checks += 1
        return await self._users.verify(email, password, address)

    async def who(self, header: str, address: str = "here") -> str | None:
        principal = await self.authenticator.authenticate(header, None, address)
        return principal.email if principal else None


def test_a_password_is_checked_once_for_many_requests(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_users(tmp_path) as users:
            await users.add({"email": EMAIL, "password": PASSWORD})
            clock = Clock(time.time())
            counted = Counted(users, clock)
            assert await asyncio.gather(*(counted.who(basic()) for _ in range(50))) == [EMAIL] * 50
            assert await counted.who(basic(encoding="latin-1")) == EMAIL
            assert await counted.who(basic("ANN@example.org")) == EMAIL
            assert counted.checks == 2, "one for each way to write it"
            clock.now += VERIFIED_SECONDS - 1
            assert await counted.who(basic()) == EMAIL
            assert counted.checks == 2
            clock.now += 1
            assert await counted.who(basic()) == EMAIL
            assert counted.checks == 3

    asyncio.run(run())


def test_wrong_ones_are_refused_and_slowed_down_as_at_sign_in(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_users(tmp_path) as users:
            await users.add({"email": EMAIL, "password": PASSWORD})
            counted = Counted(users, Clock(time.time()))
            for header in (
                "Basic",
                "Basic ",
                "Basic !",
                "Basic " + base64.b64encode(b"no colon").decode(),
                basic("", ""),
            ):
                assert await counted.who(header) is None
            assert await counted.who(basic()) == EMAIL
            for number in range(5):
                assert await counted.who(basic(password=f"wrong {number}"), "there") is None
            with pytest.raises(TooManyAttempts):
                await counted.who(basic(password="wrong"), "there")
            with pytest.raises(TooManyAttempts):
                await users.sign_in(EMAIL, PASSWORD, address="there")
            assert await counted.who(basic(), "there") == EMAIL, "what was right before needs no attempt"

    asyncio.run(run())


@pytest.mark.parametrize("change", ["password", "delete"])
def test_a_change_is_heeded_at_once_here_and_soon_elsewhere(tmp_path: Path, change: str) -> None:
    async def run() -> None:
        async with open_users(tmp_path) as users, open_users(tmp_path) as elsewhere:
            await users.add({"email": "admin@example.org", "password": PASSWORD, "is_admin": True})
            user = await users.add({"email": EMAIL, "password": PASSWORD})
            clock = Clock(time.time())
            counted = Counted(elsewhere, clock)
            assert await counted.who(basic()) == EMAIL
            assert await users.authenticator.authenticate(basic(), None) is not None
            if change == "password":
                await users.change(str(user["id"]), {"password": "another password"}, by=BY)
            else:
                await users.remove(str(user["id"]), by=BY)
            assert await users.authenticator.authenticate(basic(), None) is None
            clock.now += ACCOUNT_SECONDS
            assert await counted.who(basic()) is None

    asyncio.run(run())


def test_a_role_that_is_taken_away_is_heeded_elsewhere(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_users(tmp_path) as users, open_users(tmp_path) as elsewhere:
            await users.add({"email": "admin@example.org", "password": PASSWORD, "is_admin": True})
            user = await users.add({"email": EMAIL, "password": PASSWORD, "is_admin": True})
            clock = Clock(time.time())
            authenticator = Counted(elsewhere, clock).authenticator
            found = await authenticator.authenticate(basic(), None)
            assert found is not None and found.is_admin
            await users.change(str(user["id"]), {"is_admin": False}, by=BY)
            clock.now += ACCOUNT_SECONDS
            found = await authenticator.authenticate(basic(), None)
            assert found is not None and not found.is_admin

    asyncio.run(run())


@pytest.mark.parametrize(
    ("header", "pair"),
    [
        ("Basic YTpi", ("a", "b")),
        ("basic  YTpiOmM= ", ("a", "b:c")),
        ("Basic Og==", ("", "")),
        ("Basic YQ==", None),
        ("Basic \N{LATIN SMALL LETTER E WITH ACUTE}", None),
    ],
)
def test_headers(header: str, pair: tuple[str, str] | None) -> None:
    assert parse_basic(header) == pair


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, tuple[str, str]]]:
    """A server that asks for a credential, and its first administrator's."""
    folder = tmp_path_factory.mktemp("guarded")
    with Server(folder, auth=True) as server:
        first = orjson.loads((folder / "first-sign-in.json").read_bytes())
        yield server, (first["email"], first["password"])


def test_clients_come_in(guarded: tuple[Server, tuple[str, str]]) -> None:
    server, (email, password) = guarded
    session = requests.Session()
    session.auth = HTTPBasicAuth(email, password)
    client = DICOMwebClient(f"{server.url}/dicom-web", session=session)
    assert client.search_for_studies() == []
    session.close()
    assert httpx.get(f"{server.url}/api/users/check", auth=(email, password)).json()["email"] == email
    answer = httpx.get(f"{server.url}/dicom-web/studies", auth=(email, "wrong password"))
    assert answer.status_code == 401


def test_basic_is_offered_to_programs_at_the_dicomweb_base_alone(guarded: tuple[Server, tuple[str, str]]) -> None:
    server, _ = guarded
    answer = httpx.get(f"{server.url}/dicom-web/studies")
    assert answer.status_code == 401
    assert 'Basic realm="neurdicom"' in answer.headers["WWW-Authenticate"]
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    for path, headers in (("/api/studies", {}), ("/dicom-web/studies", {"Sec-Fetch-Dest": "empty"})):
        answer = httpx.get(server.url + path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="neurdicom"'


def test_no_other_site_may_use_what_a_browser_remembers(guarded: tuple[Server, tuple[str, str]]) -> None:
    server, auth = guarded
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = httpx.post(f"{server.url}/dicom-web/studies", auth=auth, headers=headers, content=b"")
        assert answer.status_code == 403
    answer = httpx.post(f"{server.url}/dicom-web/studies", auth=auth, content=b"")
    assert answer.status_code == 415
