"""Authentication: finds the principal of a request's credential, in microseconds once it was checked."""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Protocol

from neurdicom.security.access import LOCAL_ADMINISTRATOR, Principal
from neurdicom.security.accounts import User
from neurdicom.security.basic import BasicCredentials, Verify, is_basic
from neurdicom.security.tokens import TokenStore, digest_of

#: Name of the cookie that sign-in sets; its value is the bearer token.
SESSION_COOKIE = "neurdicom_session"

#: Seconds for which an answer is cached. What this process revokes is forgotten at once; what another process on the
#: same catalog (the command line, a second server) revokes is forgotten after this time.
CACHE_SECONDS = 5.0
CACHE_SIZE = 4096


class Authentication(Protocol):
    """Port of the HTTP layer: finds the principal behind a request's credentials."""

    async def authenticate(self, authorization: str | None, cookie: str | None, address: str = "") -> Principal | None:
        """Find the principal; see `Authenticator.authenticate`.

        Parameters
        ----------
        authorization : str or None
            The Authorization header.
        cookie : str or None
            Value of the cookie `SESSION_COOKIE`.
        address : str
            Address of the client.
        """


class Authenticator:
    """Authenticator for bearer tokens, in the Authorization header or in the session cookie, and for passwords.

    Parameters
    ----------
    tokens : TokenStore
        Has the tokens.
    find_user : callable
        Returns an account by its id, or None if it is gone.
    verify : callable
        Checks an e-mail address and a password, for the Basic scheme.
    clock : callable
        Returns the time in seconds since the epoch.
    """

    def __init__(
        self,
        tokens: TokenStore,
        find_user: Callable[[str], Awaitable[User | None]],
        verify: Verify,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tokens = tokens
        self._find_user = find_user
        self._clock = clock
        self._basic = BasicCredentials(verify, find_user, clock)
        self._cache: OrderedDict[str, tuple[Principal, float]] = OrderedDict()
        self._generation = 0

    async def authenticate(self, authorization: str | None, cookie: str | None, address: str = "") -> Principal | None:
        """Find the principal who presents these credentials.

        Parameters
        ----------
        authorization : str or None
            The Authorization header. Where there is one it alone counts: a cookie never helps a wrong token.
        cookie : str or None
            Value of the cookie `SESSION_COOKIE`.
        address : str
            Address of the client; wrong passwords from it delay its next attempts.

        Returns
        -------
        Principal or None
            None if there is no credential, or a wrong or expired one.

        Raises
        ------
        TooManyAttempts
            A password came too soon after wrong ones.
        """
        if authorization is not None and is_basic(authorization):
            return await self._basic.authenticate(authorization, address)
        token = bearer_token(authorization) if authorization is not None else cookie
        if not token:
            return None
        digest = digest_of(token)
        now = self._clock()
        cached = self._cache.get(digest)
        if cached is not None and now < cached[1]:
            self._cache.move_to_end(digest)
            return cached[0]
        return await self._look_up(digest, now)

    def forget(self) -> None:
        """Drop cached answers, since a token was revoked or a user changed; answers under way are not cached either."""
        self._generation += 1
        self._cache.clear()
        self._basic.forget()

    async def _look_up(self, digest: str, now: float) -> Principal | None:
        generation = self._generation
        self._cache.pop(digest, None)
        token = await self._tokens.find(digest)
        user = await self._find_user(token.user) if token is not None else None
        if token is None or user is None:
            return None
        principal = Principal(user.id, user.email, user.is_admin, session=digest)
        if generation == self._generation:
            until = now + CACHE_SECONDS
            self._cache[digest] = (principal, until if token.expires is None else min(until, token.expires))
            if len(self._cache) > CACHE_SIZE:
                self._cache.popitem(last=False)
        return principal


class NoAuthentication:
    """Authentication of `--no-auth`, for which everyone is the local administrator; on a loopback address only."""

    async def authenticate(self, authorization: str | None, cookie: str | None, address: str = "") -> Principal | None:
        """Return the local administrator, whatever is presented.

        Parameters
        ----------
        authorization, cookie : str or None
            Ignored.
        address : str
            Ignored.
        """
        return LOCAL_ADMINISTRATOR


def bearer_token(authorization: str) -> str | None:
    """Read the token of an Authorization header (RFC 6750); None for another scheme."""
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
