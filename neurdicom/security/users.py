"""The service of users: signing in and out, and user management."""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from neurdicom.catalog.documents import Documents
from neurdicom.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from neurdicom.security.access import LOCAL_ADMINISTRATOR, Principal
from neurdicom.security.accounts import Accounts, User, check_email, new_id, normal_email
from neurdicom.security.authentication import Authenticator
from neurdicom.security.bootstrap import FirstSignIn, drop_first_sign_in, write_first_sign_in
from neurdicom.security.passwords import Passwords
from neurdicom.security.throttle import Throttle
from neurdicom.security.tokens import TokenStore
from neurdicom.security.user_schemas import MAX_PASSWORD, NEW_USER, USER_CHANGES

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session: its secret token, its end in seconds since the epoch, and its user."""

    token: str
    expires: float
    user: User


class UserService:
    """Service that signs users in and out, and manages their accounts and tokens.

    Parameters
    ----------
    documents : Documents
        Document store of accounts and tokens.
    folder : Path
        Data folder, where the first administrator's one-time password is written.
    session_seconds : float
        Duration of a session.

    Attributes
    ----------
    authenticator : Authenticator
        Authenticates requests by the tokens that this service issues and revokes.
    """

    def __init__(self, documents: Documents, folder: Path, *, session_seconds: float) -> None:
        self._accounts = Accounts(documents)
        self._tokens = TokenStore(documents)
        self._passwords = Passwords()
        self._throttle = Throttle()
        self._folder = folder
        self._session_seconds = session_seconds
        self._changing = asyncio.Lock()
        self.authenticator = Authenticator(self._tokens, self._accounts.find, self.verify)

    async def close(self) -> None:
        """Stop the threads that hash passwords. Idempotent."""
        await asyncio.to_thread(self._passwords.close)

    # -- sessions --------------------------------------------------------------------------------------------

    async def sign_in(self, email: str, password: str, *, address: str) -> SignedIn:
        """Sign in a user, and open a session.

        Parameters
        ----------
        email, password : str
            Credentials of the user.
        address : str
            Network address of the client; failures from it delay its next attempts.

        Returns
        -------
        SignedIn

        Raises
        ------
        Unauthenticated
            The email address or the password is wrong; the message does not say which.
        TooManyAttempts
            Earlier attempts failed, and the time to wait is not over.
        """
        user = await self.verify(email, password, address)
        await self._tokens.purge(user.id)
        secret, token = await self._tokens.issue(user.id, purpose="session", lifetime=self._session_seconds)
        now = await self._accounts.find(user.id)
        if now is None or now.password != user.password:
            # The password was changed meanwhile, and the change revoked the sessions before this one was issued.
            await self._tokens.revoke(token.digest)
            raise Unauthenticated("the password was changed a moment ago")
        _log.info("user %s signed in from %s", user.email, address)
        assert token.expires is not None
        return SignedIn(secret, token.expires, user)

    async def verify(self, email: str, password: str, address: str) -> User:
        """Check a user's password.

        Parameters
        ----------
        email, password : str
            Credentials of the user.
        address : str
            Network address of the client; failures from it delay its next attempts.

        Returns
        -------
        User

        Raises
        ------
        Unauthenticated, TooManyAttempts
            As `sign_in`.
        """
        account = email.strip().lower()[:MAX_PASSWORD]
        self._throttle.begin(account, address)
        user = await self._known(email)
        right = await self._passwords.verify(user.password if user else None, password[: MAX_PASSWORD + 1])
        if user is None or not right:
            self._throttle.failed(account, address)
            _log.warning("a sign-in from %s failed: wrong e-mail address or password", address)
            raise Unauthenticated("wrong e-mail address or password")
        self._throttle.succeeded(account, address)
        if self._passwords.outdated(user.password):
            user = await self._accounts.change(user, password=await self._passwords.hash(password))
        return user

    async def sign_out(self, principal: Principal) -> None:
        """Revoke the token of a request, which ends its session."""
        if principal.session is not None:
            await self._tokens.revoke(principal.session)
            self.authenticator.forget()

    # -- accounts --------------------------------------------------------------------------------------------

    async def list(self) -> list[dict[str, Any]]:
        """List all users, ordered by email address."""
        return [user.to_api() for user in await self._accounts.list()]

    async def get(self, user: str) -> dict[str, Any]:
        """Get a user by id. Raises `NotFound`."""
        return (await self._get(user)).to_api()

    async def describe(self, principal: Principal) -> dict[str, Any]:
        """Describe the user of a request, also without authentication."""
        if principal.id != LOCAL_ADMINISTRATOR.id:
            return await self.get(principal.id)
        return User(
            id=principal.id,
            email=principal.email,
            name="",
            surname="",
            is_admin=principal.is_admin,
            password="",
            must_change_password=False,
            created=_now(),
        ).to_api()

    async def add(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Add a user from `email`, `password` and optionally `name`, `surname`, `is_admin`.

        Raises
        ------
        Invalid
            A field is missing, unknown or wrong; `field` names it.
        Conflict
            Another user has this email address.
        """
        return (await self._add(_normal(NEW_USER.check(fields)))).to_api()

    async def change(self, user: str, fields: Mapping[str, Any], *, by: Principal) -> dict[str, Any]:
        """Change an account.

        Administrators may change `email`, `name`, `surname`, `is_admin` and `password` of every user; others their own
        name and surname, and their password if they also give `current_password`. A new password ends the user's other
        sessions.

        Parameters
        ----------
        user : str
            Id of the user.
        fields : Mapping[str, Any]
            The fields to change.
        by : Principal
            User who makes the change.

        Returns
        -------
        dict
            The changed user, as the API returns it.

        Raises
        ------
        NotFound
            There is no such user.
        Invalid
            A field is unknown or wrong, or `current_password` is not the current password.
        Forbidden
            The field may be changed by administrators only.
        TooManyAttempts
            Earlier attempts to change the password failed.
        Conflict
            Another user has this email address, or no administrator would be left.
        """
        values = _normal(USER_CHANGES.check(fields))
        async with self._changing:
            before = await self._get(user)
            if not by.is_admin:
                await self._check_own_change(before, values)
            values.pop("current_password", None)
            if values.get("is_admin") is False:
                await self._check_not_last(before)
            if "password" in values:
                values |= {
                    "password": await self._passwords.hash(values["password"]),
                    "must_change_password": False,
                }
            after = await self._accounts.change(before, **values)
            if "password" in values:
                await self._tokens.revoke_all(user, purpose="session", keep=by.session)
                await self._drop_first(before)
            self.authenticator.forget()
        _log.info("user %s was changed by %s: %s", after.email, by.email, ", ".join(sorted(values)) or "nothing")
        return after.to_api()

    async def remove(self, user: str, *, by: Principal) -> None:
        """Delete a user with all tokens. Raises `NotFound`, or `Conflict` for the last administrator."""
        async with self._changing:
            account = await self._get(user)
            await self._check_not_last(account)
            await self._accounts.remove(account)
            await self._tokens.revoke_all(user)
            await self._drop_first(account)
            self.authenticator.forget()
        _log.info("user %s was deleted by %s", account.email, by.email)

    # -- for the command line and the start ------------------------------------------------------------------

    async def find_by_email(self, email: str) -> dict[str, Any]:
        """Find a user by email address. Raises `NotFound` or `Invalid`."""
        user = await self._accounts.find_by_email(check_email(email))
        if user is None:
            raise NotFound(f"there is no user {email}")
        return user.to_api()

    async def make_token(self, user: str, *, lifetime: float | None) -> str:
        """Issue a token for a program; `lifetime` is in seconds, None for one that lasts until it is revoked."""
        await self._get(user)
        secret, _ = await self._tokens.issue(user, purpose="api", lifetime=lifetime)
        return secret

    async def revoke_tokens(self, user: str) -> int:
        """Revoke all tokens of a user, which ends all sessions; return their number."""
        count = await self._tokens.revoke_all(user)
        self.authenticator.forget()
        return count

    async def ensure_administrator(self) -> FirstSignIn | None:
        """Make the first administrator unless there is one; return the one-time password if one was made."""
        await self._tokens.purge()
        if any(user.is_admin for user in await self._accounts.list()):
            return None
        # The file is written first: an account whose password nobody knows would lock everyone out.
        first = await asyncio.to_thread(write_first_sign_in, self._folder)
        values = {"email": first.email, "password": first.password, "is_admin": True}
        try:
            await self._add(values, must_change_password=True)
        except Conflict:
            await asyncio.to_thread(drop_first_sign_in, self._folder)
            if any(user.is_admin for user in await self._accounts.list()):
                return None  # another server with the same catalog was first
            raise
        return first

    async def _add(self, values: Mapping[str, Any], *, must_change_password: bool = False) -> User:
        user = User(
            id=new_id(),
            email=values["email"],
            name=values.get("name", ""),
            surname=values.get("surname", ""),
            is_admin=values.get("is_admin", False),
            password=await self._passwords.hash(values["password"]),
            must_change_password=must_change_password,
            created=_now(),
        )
        await self._accounts.add(user)
        _log.info("user %s was added", user.email)
        return user

    async def _known(self, email: str) -> User | None:
        try:
            return await self._accounts.find_by_email(check_email(email))
        except Invalid:
            return None

    async def _get(self, user: str) -> User:
        found = await self._accounts.find(user)
        if found is None:
            raise NotFound(f"there is no user with the id {user!r}")
        return found

    async def _check_own_change(self, user: User, values: Mapping[str, Any]) -> None:
        for field in ("email", "is_admin"):
            if field in values:
                raise Forbidden(f"{field} may be changed by administrators only")
        if "password" not in values:
            return
        self._throttle.begin(user.email, "own password")
        given = values.get("current_password")
        if await self._passwords.verify(user.password, given if isinstance(given, str) else ""):
            self._throttle.succeeded(user.email, "own password")
        else:
            self._throttle.failed(user.email, "own password")
            raise Invalid("current_password is not the current password of this user", field="current_password")

    async def _check_not_last(self, user: User) -> None:
        others = [each for each in await self._accounts.list() if each.is_admin and each.id != user.id]
        if user.is_admin and not others:
            raise Conflict(f"{user.email} is the only administrator; make another user an administrator first")

    async def _drop_first(self, user: User) -> None:
        if user.must_change_password:
            await asyncio.to_thread(drop_first_sign_in, self._folder)


def _normal(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Normalize checked fields to the form in which they are stored."""
    values = dict(fields)
    if "email" in values:
        values["email"] = normal_email(values["email"])
    return values | {field: values[field].strip() for field in ("name", "surname") if field in values}


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
