"""Users, sessions and tokens on a real catalog."""

import asyncio
import json
import stat
import time
import uuid
from pathlib import Path

import pytest

from neurdicom.catalog.mongo import MongoCatalog
from neurdicom.errors import Conflict, Forbidden, Invalid, NotFound, TooManyAttempts, Unauthenticated
from neurdicom.security.access import Principal
from neurdicom.security.accounts import Accounts, check_email
from neurdicom.security.authentication import CACHE_SECONDS, Authenticator, NoAuthentication
from neurdicom.security.bootstrap import FILE_NAME, FIRST_EMAIL, read_first_sign_in
from neurdicom.security.passwords import Passwords
from neurdicom.security.throttle import PAIR
from neurdicom.security.tokens import TokenStore
from neurdicom.security.users import UserService
from tests.support.users import Clock, open_users

ROOT = Principal("root", "root@example.org", is_admin=True)
PASSWORD = "correct horse"
HERE = "127.0.0.1"


async def add(users: UserService, email: str = "ann@example.org", **fields: object) -> dict[str, object]:
    return await users.add({"email": email, "password": PASSWORD, **fields})


async def who(users: UserService, token: str) -> Principal | None:
    return await users.authenticator.authenticate(f"Bearer {token}", None)


def test_sign_in_and_out(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_users(tmp_path) as users:
            user = await add(users, name=" Ann ", surname="Müller")
            signed_in = await users.sign_in("  ANN@example.org", PASSWORD, address=HERE)
            assert signed_in.user.to_api() == user
            assert user["name"] == "Ann" and user["is_admin"] is False and "password" not in user
            principal = await who(users, signed_in.token)
            assert principal is not None and principal.id == user["id"] and not principal.is_admin
            by_cookie = await users.authenticator.authenticate(None, signed_in.token)
            assert by_cookie == principal
            assert await users.authenticator.authenticate("Bearer wrong", signed_in.token) is None
            assert await users.authenticator.authenticate("Basic xyz", signed_in.token) is None
            await users.sign_out(principal)
            assert await who(users, signed_in.token) is None

    asyncio.run(run())


def test_nothing_at_rest_lets_anyone_in(tmp_path: Path) -> None:
    """Neither a password nor a token can be read from the catalog's files."""

    async def run() -> str:
        async with open_users(tmp_path) as users:
            user = await add(users)
            await users.make_token(str(user["id"]), lifetime=None)
            return (await users.sign_in("ann@example.org", PASSWORD, address=HERE)).token

    token = asyncio.run(run())
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"$argon2id$" in content
    assert PASSWORD.encode() not in content and token.encode() not in content


@pytest.mark.parametrize(
    ("email", "password"),
    [("ann@example.org", "wrong password"), ("bob@example.org", PASSWORD), ("no address", PASSWORD), ("", "")],
)
def test_wrong_credentials(tmp_path: Path, email: str, password: str) -> None:
    async def run() -> None:
        async with open_users(tmp_path) as users:
            await add(users)
            with pytest.raises(Unauthenticated, match=r"^wrong e-mail address or password$"):
                await users.sign_in(email, password, address=HERE)

    asyncio.run(run())


def test_failures_slow_down(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_users(tmp_path) as users:
            await add(users)
            results = await asyncio.gather(
                *(users.sign_in("ann@example.org", "wrong password", address=HERE) for _ in range(PAIR.free + 3)),
                return_exceptions=True,
            )
            assert [type(result) for result in results].count(Unauthenticated) == PAIR.free
            assert [type(result) for result in results].count(TooManyAttempts) == 3
            with pytest.raises(TooManyAttempts):
                await users.sign_in("ANN@example.org ", PASSWORD, address=HERE)
            await users.sign_in("ann@example.org", PASSWORD, address="127.0.0.2")

    asyncio.run(run())


def test_sessions_expire(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_users(tmp_path) as users:
            await add(users)
            signed_in = await users.sign_in("ann@example.org", PASSWORD, address=HERE)
            assert signed_in.expires == pytest.approx(time.time() + 3600, abs=60)
            clock = Clock(time.time())
            tokens = TokenStore(users._accounts._documents, clock=clock)
            authenticator = Authenticator(tokens, users._accounts.find, users.verify, clock=clock)
            bearer = f"Bearer {signed_in.token}"
            clock.now = signed_in.expires - 1
            assert await authenticator.authenticate(bearer, None) is not None
            clock.now = signed_in.expires  # still within the cache's time, which must not outlive the token's
            assert await authenticator.authenticate(bearer, None) is None
            assert await tokens.purge() == 1

    asyncio.run(run())


def test_what_another_process_revokes_is_heeded(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_users(tmp_path) as server, open_users(tmp_path) as command_line:
            user = await add(server)
            token = (await server.sign_in("ann@example.org", PASSWORD, address=HERE)).token
            clock = Clock(time.time())
            authenticator = Authenticator(
                TokenStore(server._accounts._documents, clock=clock), server._accounts.find, server.verify, clock=clock
            )
            assert await authenticator.authenticate(None, token) is not None
            assert await command_line.revoke_tokens(str(user["id"])) == 1
            clock.now += CACHE_SECONDS
            assert await authenticator.authenticate(None, token) is None

    asyncio.run(run())


def test_a_new_password_ends_other_sessions_only(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_users(tmp_path) as users:
            user = await add(users)
            mine, other = [(await users.sign_in("ann@example.org", PASSWORD, address=HERE)).token for _ in range(2)]
            program = await users.make_token(str(user["id"]), lifetime=60)
            me = await who(users, mine)
            assert me is not None and await who(users, other) is not None
            fields = {"password": "another password", "current_password": PASSWORD}
            await users.change(me.id, fields, by=me)
            assert await who(users, mine) is not None
            assert await who(users, other) is None
            assert await who(users, program) is not None
            with pytest.raises(Unauthenticated):
                await users.sign_in("ann@example.org", PASSWORD, address=HERE)
            await users.sign_in("ann@example.org", "another password", address=HERE)

    asyncio.run(run())


def test_what_users_may_change_of_themselves(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_users(tmp_path) as users:
            user = await add(users)
            me = Principal(str(user["id"]), "ann@example.org")
            changed = await users.change(me.id, {"name": "Anna"}, by=me)
            assert changed["name"] == "Anna"
            for field, value in (("is_admin", True), ("email", "x@example.org")):
                with pytest.raises(Forbidden):
                    await users.change(me.id, {field: value}, by=me)
            for current in ({}, {"current_password": "wrong"}, {"current_password": 7}):
                with pytest.raises(Invalid) as caught:
                    await users.change(me.id, {"password": "another password", **current}, by=me)
                assert caught.value.field == "current_password"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"email": "x@y"}, "password"),
        ({"password": PASSWORD}, "email"),
        ({"email": "x", "password": PASSWORD}, "email"),
        ({"email": "x@y\u0000", "password": PASSWORD}, "email"),
        ({"email": "x\u200b@y", "password": PASSWORD}, "email"),
        ({"email": "x\u202e@y", "password": PASSWORD}, "email"),
        ({"email": "a" * 300 + "@y", "password": PASSWORD}, "email"),
        ({"email": ["x@y"], "password": PASSWORD}, "email"),
        ({"email": "x@y", "password": "short"}, "password"),
        ({"email": "x@y", "password": "x" * 2000}, "password"),
        ({"email": "x@y", "password": 12345678}, "password"),
        ({"email": "x@y", "password": PASSWORD, "name": None}, "name"),
        ({"email": "x@y", "password": PASSWORD, "surname": "a\nb"}, "surname"),
        ({"email": "x@y", "password": PASSWORD, "is_admin": "yes"}, "is_admin"),
        ({"email": "x@y", "password": PASSWORD, "role": "admin"}, "role"),
        ({"email": "x@y", "password": PASSWORD, "id": "1"}, "id"),
    ],
)
def test_wrong_fields_are_named(tmp_path: Path, fields: dict[str, object], field: str) -> None:
    async def run() -> None:
        async with open_users(tmp_path) as users:
            with pytest.raises(Invalid) as caught:
                await users.add(fields)
            assert caught.value.field == field
            assert await users.list() == []

    asyncio.run(run())


def test_addresses_are_unique(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_users(tmp_path) as users:
            results = await asyncio.gather(*(add(users, "Ann@example.org") for _ in range(4)), return_exceptions=True)
            assert [type(result) for result in results].count(Conflict) == 3
            other = await add(users, "bob@example.org")
            with pytest.raises(Conflict):
                await users.change(str(other["id"]), {"email": "ann@EXAMPLE.org"}, by=ROOT)
            changed = await users.change(str(other["id"]), {"email": "eve@example.org"}, by=ROOT)
            assert changed["id"] == other["id"]
            assert [user["email"] for user in await users.list()] == ["ann@example.org", "eve@example.org"]
            await add(users, "bob@example.org")

    asyncio.run(run())


def test_a_change_of_address_that_was_cut_off(tmp_path: Path) -> None:
    """Read the user as one, who is there under both addresses between the two writes."""

    async def run() -> None:
        async with open_users(tmp_path) as users:
            user = await add(users)
            old = await users._accounts._documents.get("user", "ann@example.org")
            await users.change(str(user["id"]), {"email": "new@example.org"}, by=ROOT)
            assert old is not None
            await users._accounts._documents.put("user", {"ann@example.org": old})
            accounts = Accounts(users._accounts._documents)
            assert [each.email for each in await accounts.list()] == ["new@example.org"]
            signed_in = await users.sign_in("ann@example.org", PASSWORD, address=HERE)
            assert signed_in.user.email == "new@example.org"
            await add(users, "root@example.org", is_admin=True)
            await users.remove(str(user["id"]), by=ROOT)
            with pytest.raises(Unauthenticated):
                await users.sign_in("ann@example.org", PASSWORD, address=HERE)

    asyncio.run(run())


def test_an_administrator_is_left(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_users(tmp_path) as users:
            one = await add(users, "one@example.org", is_admin=True)
            with pytest.raises(Conflict):
                await users.remove(str(one["id"]), by=ROOT)
            with pytest.raises(Conflict):
                await users.change(str(one["id"]), {"is_admin": False}, by=ROOT)
            two = await add(users, "two@example.org", is_admin=True)
            results = await asyncio.gather(
                *(users.remove(str(user["id"]), by=ROOT) for user in (one, two)), return_exceptions=True
            )
            assert sorted(type(result).__name__ for result in results) == ["Conflict", "NoneType"]

    asyncio.run(run())


def test_a_deleted_user_is_out_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_users(tmp_path) as users:
            user = await add(users)
            token = (await users.sign_in("ann@example.org", PASSWORD, address=HERE)).token
            program = await users.make_token(str(user["id"]), lifetime=None)
            assert await who(users, token) is not None
            await users.remove(str(user["id"]), by=ROOT)
            assert await who(users, token) is None and await who(users, program) is None
            for verb in (users.get(str(user["id"])), users.remove(str(user["id"]), by=ROOT)):
                with pytest.raises(NotFound):
                    await verb

    asyncio.run(run())


def test_the_first_administrator(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_users(tmp_path) as users:
            await add(users)  # made beforehand, and no administrator
            first = await users.ensure_administrator()
            assert first is not None and first.email == FIRST_EMAIL
            file = tmp_path / FILE_NAME
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert json.loads(file.read_text()) == {"email": first.email, "password": first.password}
            assert read_first_sign_in(tmp_path) == first
        async with open_users(tmp_path) as users:
            assert await users.ensure_administrator() is None
            signed_in = await users.sign_in(first.email, first.password, address=HERE)
            assert signed_in.user.is_admin and signed_in.user.must_change_password
            changed = await users.change(signed_in.user.id, {"password": "my own password"}, by=ROOT)
            assert changed["must_change_password"] is False
            assert read_first_sign_in(tmp_path) is None
            assert await users.ensure_administrator() is None

    asyncio.run(run())


def test_a_first_start_that_was_cut_off(tmp_path: Path) -> None:
    async def run() -> None:
        (tmp_path / FILE_NAME).write_text("{}")
        async with open_users(tmp_path) as users:
            first = await users.ensure_administrator()
            assert first is not None
            await users.sign_in(first.email, first.password, address=HERE)

    asyncio.run(run())


def test_two_servers_start_on_one_catalog(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_users(tmp_path) as one, open_users(tmp_path) as two:
            two._folder = tmp_path / "two"
            first, second = await asyncio.gather(one.ensure_administrator(), two.ensure_administrator())
            assert (first is None) != (second is None)
            assert [read_first_sign_in(tmp_path), read_first_sign_in(tmp_path / "two")] == [first, second]

    asyncio.run(run())


def test_users_on_mongodb(tmp_path: Path, mongodb_uri: str) -> None:
    database = f"users_{uuid.uuid4().hex[:12]}"

    async def run() -> None:
        async with open_users(tmp_path, MongoCatalog(mongodb_uri, database)) as users:
            first = await users.ensure_administrator()
            assert first is not None and await users.ensure_administrator() is None
            results = await asyncio.gather(*(add(users, "Ann@example.org") for _ in range(4)), return_exceptions=True)
            assert [type(result) for result in results].count(Conflict) == 3
            signed_in = await users.sign_in("ann@example.org", PASSWORD, address=HERE)
            program = await users.make_token(signed_in.user.id, lifetime=None)
            assert await who(users, signed_in.token) is not None
            changes = {"email": "eve@example.org", "password": "another password"}
            changed = await users.change(signed_in.user.id, changes, by=ROOT)
            assert changed["id"] == signed_in.user.id
            assert [user["email"] for user in await users.list()] == [first.email, "eve@example.org"]
            assert await who(users, signed_in.token) is None
            assert await who(users, program) is not None
            await users.remove(signed_in.user.id, by=ROOT)
            assert await who(users, program) is None

    asyncio.run(run())


def test_without_authentication_everyone_is_the_administrator(tmp_path: Path) -> None:
    async def run() -> None:
        principal = await NoAuthentication().authenticate(None, None)
        assert principal is not None and principal.is_admin
        async with open_users(tmp_path) as users:
            described = await users.describe(principal)
            assert described["is_admin"] and described.keys() == (await add(users)).keys()

    asyncio.run(run())


def test_passwords_of_any_text() -> None:
    async def run() -> None:
        passwords = Passwords()
        try:
            stored = await passwords.hash("пароль 密碼 \ud800")
            assert await passwords.verify(stored, "пароль 密碼 \ud800")
            assert not await passwords.verify(stored, "пароль")
            assert not await passwords.verify(None, "пароль")
            assert not await passwords.verify("no hash", "пароль")
            assert not passwords.outdated(stored)
            assert passwords.outdated("$argon2id$v=19$m=8192,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA")
        finally:
            passwords.close()

    asyncio.run(run())


def test_addresses_are_compared_in_one_form() -> None:
    assert check_email(" Ann@Example.ORG ") == check_email("ａnn@example.org") == "ann@example.org"
