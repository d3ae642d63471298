"""The first administrator's one-time password, in the data folder until it is changed."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from neurdicom.security.passwords import new_password

FIRST_EMAIL = "admin@localhost"
FILE_NAME = "first-sign-in.json"


@dataclass(frozen=True, slots=True)
class FirstSignIn:
    """Credentials of the first administrator.

    The file holds them in the form that `POST /api/users/auth` takes.
    """

    email: str
    password: str
    file: Path


def write_first_sign_in(folder: Path) -> FirstSignIn:
    """Make a password and write it to a file that only the server's own user can read. Blocks."""
    file = folder / FILE_NAME
    first = FirstSignIn(FIRST_EMAIL, new_password(), file)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.unlink(missing_ok=True)  # left by a start that crashed before the account was made
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump({"email": first.email, "password": first.password}, stream)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    return first


def read_first_sign_in(folder: Path) -> FirstSignIn | None:
    """Read the one-time password; None if it was changed. Blocks."""
    file = folder / FILE_NAME
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return FirstSignIn(content["email"], content["password"], file)


def drop_first_sign_in(folder: Path) -> None:
    """Delete the file with the one-time password. Blocks. Idempotent."""
    (folder / FILE_NAME).unlink(missing_ok=True)
