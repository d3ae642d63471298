"""`neurdicom login | logout`, and what commands say of tokens and servers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import Server, free_port

HINTS = ("--token", "neurdicom user token")


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment with a user's folder of settings of its own."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NEURDICOM_")}
    return environment | {"XDG_CONFIG_HOME": str(tmp_path / "config")}


def run(home: dict[str, str], *arguments: str, text: str = "", **more: str) -> tuple[int, str]:
    """Exit status, and what was printed."""
    command = [sys.executable, "-m", "neurdicom", *arguments]
    done = subprocess.run(command, env=home | more, input=text, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def test_login_keeps_server_and_token(
    home: dict[str, str], secured: Server, admin_token: str, first_password: tuple[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "config" / "neurdicom" / "login.json"
    status, told = run(home, "login", "--server", secured.url, text="wrong\n")
    assert status == 1 and not file.exists()
    assert all(hint in told for hint in HINTS)

    status, told = run(home, "login", "--server", secured.url, text=f"{admin_token}\n")
    assert (status, admin_token in told) == (0, False), told
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert run(home, "plugin", "list") == (0, "")

    # options and environment go over it, and the token goes to its own server only
    assert run(home, "plugin", "list", "--token", "wrong")[0] == 1
    assert run(home, "plugin", "list", NEURDICOM_TOKEN="wrong")[0] == 1
    assert run(home, "plugin", "list", NEURDICOM_SERVER=f"http://127.0.0.1:{free_port()}")[0] == 1
    other = secured.url.replace("127.0.0.1", "localhost")
    status, told = run(home, "plugin", "list", "--server", other)
    assert status == 1 and "requires a token" in told

    status, told = run(home, "process", "org.example.none", "--all")
    assert status == 1 and "no plugin" in told

    assert run(home, "logout")[0] == 0
    assert not file.exists()
    assert "nothing was stored" in run(home, "logout")[1]

    email, password = first_password
    assert run(home, "login", "--server", secured.url, "--email", email, text="not the password\n")[0] == 1
    status, told = run(home, "login", "--server", secured.url, "--email", email, text=f"{password}\n")
    assert status == 0, told
    assert run(home, "plugin", "list")[0] == 0


def test_one_wording_for_tokens(home: dict[str, str], secured: Server) -> None:
    """Whatever the command."""
    commands = (("plugin", "list"), ("plugin", "remove", "a.guid"), ("process", "a.guid", "--all"))
    for token in ((), ("--token", "wrong")):
        told = {run(home, *command, "--server", secured.url, *token) for command in commands}
        ((status, text),) = told
        assert status == 1
        assert all(hint in text for hint in HINTS), text
        assert ("refuses this token" if token else "requires a token") in text


def test_one_wording_for_servers_that_do_not_answer(home: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    commands = (("plugin", "list"), ("process", "a.guid", "--all"), ("login",))
    ((status, text),) = {run(home, *command, "--server", url, text="token\n") for command in commands}
    assert (status, f"{url} does not answer: " in text, "neurdicom serve" in text) == (1, True, True)


def test_what_is_kept_is_no_more(home: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "config" / "neurdicom" / "login.json"
    file.parent.mkdir(parents=True)
    file.write_text("[]", encoding="utf-8")
    status, told = run(home, "plugin", "list")
    assert status == 1 and str(file) in told
    assert run(home, "logout")[0] == 0
    assert not file.exists()
