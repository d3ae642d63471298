"""Passwords, hashed with argon2id in threads."""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

Result = TypeVar("Result")

#: Most sign-ins that are computed at a time; each takes 64 MiB for about 0.1 s, and others wait.
_PARALLEL = 2


class Passwords:
    """Hasher of passwords, with the parameters of RFC 9106 4 (second recommended option)."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._threads = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="passwords")
        self._decoy: str | None = None

    def close(self) -> None:
        """End the threads. Idempotent."""
        self._threads.shutdown()

    async def hash(self, password: str) -> str:
        """Hash a password, salted; the result includes its parameters (PHC string)."""
        return await self._run(lambda: self._hasher.hash(_as_bytes(password)))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Check a password.

        Parameters
        ----------
        stored : str or None
            Hash made by `hash`; None if there is no such user, which takes just as long, so that the time does not
            reveal which addresses have an account.
        password : str
            The password to check.
        """
        return await self._run(lambda: self._verify(stored, password))

    def outdated(self, stored: str) -> bool:
        """Tell whether a hash was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def _verify(self, stored: str | None, password: str) -> bool:
        if stored is None:
            if self._decoy is None:
                self._decoy = self._hasher.hash(secrets.token_bytes(16))
            self._matches(self._decoy, password)
            return False
        return self._matches(stored, password)

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, _as_bytes(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def new_password() -> str:
    """Make a random password of 96 bits."""
    return secrets.token_urlsafe(12)


def _as_bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
