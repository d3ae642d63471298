"""HTTP Basic authentication (RFC 7617), for clients that support nothing else.

Checking a password takes a tenth of a second by design, and a viewer sends it with each of thousands of requests. So a
credential that was right is remembered for a while, by a keyed digest from which the password can't be derived.
"""

import asyncio
import base64
import binascii
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from neurdicom.errors import Unauthenticated
from neurdicom.security.access import Principal
from neurdicom.security.accounts import User

#: Seconds for which a right credential is not checked against the password's hash again.
VERIFIED_SECONDS = 300.0
#: Seconds for which the account is not read again. What this process changes is noticed at once; what another process
#: on the same catalog changes is noticed after this time.
ACCOUNT_SECONDS = 5.0
CACHE_SIZE = 1024

Verify = Callable[[str, str, str], Awaitable[User]]
"""Checks e-mail address and password, presented from an address. Raises `Unauthenticated` or `TooManyAttempts`."""


@dataclass(slots=True)
class _Known:
    """Accepted credential: its user, and until when it is remembered."""

    user: User
    verified_until: float
    account_until: float


class BasicCredentials:
    """Authenticator for credentials of the Basic scheme.

    Parameters
    ----------
    verify : callable
        Checks an e-mail address and a password.
    find_user : callable
        Returns an account by id, or None if it is gone.
    clock : callable
        Returns the time in seconds.
    """

    def __init__(
        self, verify: Verify, find_user: Callable[[str], Awaitable[User | None]], clock: Callable[[], float]
    ) -> None:
        self._verify = verify
        self._find_user = find_user
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._checking: dict[bytes, asyncio.Task[User | None]] = {}
        self._generation = 0

    async def authenticate(self, authorization: str, address: str) -> Principal | None:
        """Find the principal who presents an Authorization header of the Basic scheme; None if it is wrong.

        Raises
        ------
        TooManyAttempts
            The attempt came too soon after failed ones.
        """
        pair = parse_basic(authorization)
        if pair is None:
            return None
        email, password = pair
        digest = hmac.digest(self._key, f"{len(email)}:{email}:{password}".encode("utf-8", "surrogatepass"), "sha256")
        user = await self._remembered(digest)
        if user is None:
            user = await self._check(digest, email, password, address)
        return None if user is None else user.as_principal()

    def forget(self) -> None:
        """Drop all remembered credentials, since an account changed; checks under way are not remembered either."""
        self._generation += 1
        self._known.clear()

    async def _remembered(self, digest: bytes) -> User | None:
        known = self._known.get(digest)
        now = self._clock()
        if known is None or now >= known.verified_until:
            self._known.pop(digest, None)
            return None
        self._known.move_to_end(digest)
        if now >= known.account_until:
            user = await self._find_user(known.user.id)
            if user is None or user.password != known.user.password:
                self._known.pop(digest, None)
                return None
            known.user, known.account_until = user, now + ACCOUNT_SECONDS
        return known.user

    async def _check(self, digest: bytes, email: str, password: str, address: str) -> User | None:
        """Check a credential once for all requests that present it at the same time."""
        task = self._checking.get(digest)
        if task is None:
            task = asyncio.create_task(self._verified(digest, email, password, address))
            self._checking[digest] = task
            task.add_done_callback(lambda _: self._checking.pop(digest, None))
        # A task of its own: the request that began it may be cancelled while others wait.
        return await asyncio.shield(task)

    async def _verified(self, digest: bytes, email: str, password: str, address: str) -> User | None:
        generation = self._generation
        try:
            user = await self._verify(email, password, address)
        except Unauthenticated:
            return None
        now = await self._find_user(user.id)
        if now is None or now.password != user.password:
            return None  # changed while this was under way
        if generation == self._generation:
            time = self._clock()
            self._known[digest] = _Known(now, time + VERIFIED_SECONDS, time + ACCOUNT_SECONDS)
            if len(self._known) > CACHE_SIZE:
                self._known.popitem(last=False)
        return now


def is_basic(authorization: str) -> bool:
    """Tell whether an Authorization header is of the Basic scheme."""
    return authorization.lstrip()[:6].lower() == "basic "


def parse_basic(authorization: str) -> tuple[str, str] | None:
    """Read e-mail address and password of an Authorization header; None where it is broken."""
    try:
        raw = base64.b64decode(authorization.strip()[6:].strip(), validate=True)
    except (ValueError, binascii.Error):
        return None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    email, colon, password = text.partition(":")
    return (email, password) if colon else None
