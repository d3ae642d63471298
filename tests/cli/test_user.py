"""`neurdicom user`, as it is typed."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from neurdicom.cli.main import main
from neurdicom.errors import Unauthenticated
from tests.support.users import open_users

PASSWORD = "correct horse"


def run(folder: Path, *arguments: str, text: str = "") -> Result:
    return CliRunner().invoke(main, ["user", "--data", str(folder), *arguments], input=text)


def added(folder: Path, email: str, *options: str) -> str:
    result = run(folder, "--create", "add", email, *options, text=f"{PASSWORD}\n")
    assert result.exit_code == 0, result.output
    return result.output


def test_adding_listing_and_signing_in(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert added(folder, "Ann@example.org", "--name", "Ann", "--surname", "Lee").startswith("added ann@example.org (")
    added(folder, "root@example.org", "--admin")
    assert folder.stat().st_mode & 0o777 == 0o700
    rows = [line.split("\t")[:3] for line in run(folder, "list").output.splitlines()]
    assert rows == [["ann@example.org", "user", "Ann Lee"], ["root@example.org", "admin", ""]]

    async def check() -> None:
        async with open_users(folder) as users:
            await users.sign_in("ann@example.org", PASSWORD, address="")
            assert await users.ensure_administrator() is None

    asyncio.run(check())


def test_changing_a_password_ends_the_sessions(tmp_path: Path) -> None:
    added(tmp_path, "ann@example.org")

    async def check() -> None:
        async with open_users(tmp_path) as users:
            token = (await users.sign_in("ann@example.org", PASSWORD, address="")).token
            changed = await asyncio.to_thread(run, tmp_path, "passwd", "ann@example.org", text="another password\r\n")
            assert changed.exit_code == 0, changed.output
            assert await users.authenticator.authenticate(f"Bearer {token}", None) is None
            with pytest.raises(Unauthenticated):
                await users.sign_in("ann@example.org", PASSWORD, address="")
            await users.sign_in("ann@example.org", "another password", address="")

    asyncio.run(check())


def test_tokens(tmp_path: Path) -> None:
    added(tmp_path, "ann@example.org", "--admin")
    for_ever = run(tmp_path, "token", "ann@example.org").output.strip()
    for_a_day = run(tmp_path, "token", "ann@example.org", "--days", "1").output.strip()

    async def who(token: str) -> str | None:
        async with open_users(tmp_path) as users:
            principal = await users.authenticator.authenticate(f"Bearer {token}", None)
            return principal.email if principal else None

    assert [asyncio.run(who(token)) for token in (for_ever, for_a_day)] == ["ann@example.org"] * 2
    assert "revoked 2" in run(tmp_path, "token", "ann@example.org", "--revoke").output
    assert asyncio.run(who(for_ever)) is None


@pytest.mark.parametrize(
    ("arguments", "text", "status", "says"),
    [
        (("add", "ann@example.org"), f"{PASSWORD}\n", 1, "there is already a user ann@example.org"),
        (("add", "bob@example.org"), "short\n", 2, "a password has 8"),
        (("add", "bob@example.org"), "", 2, "a password has 8"),
        (("add", "nobody"), f"{PASSWORD}\n", 2, "an e-mail address"),
        (("passwd", "bob@example.org"), f"{PASSWORD}\n", 1, "there is no user bob@example.org"),
        (("token", "bob@example.org"), "", 1, "there is no user bob@example.org"),
        (("token", "ann@example.org", "--days", "0"), "", 2, "--days"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, arguments: tuple[str, ...], text: str, status: int, says: str) -> None:
    added(tmp_path, "ann@example.org")
    result = run(tmp_path, *arguments, text=text)
    assert result.exit_code == status and says in result.output
    assert "Traceback" not in result.output
