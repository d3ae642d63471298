"""Routes of users: signing in and out, and user management."""

from datetime import UTC, datetime
from typing import Any

from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import BOOLEAN, STRING, operation
from neurdicom.http.routing import Route
from neurdicom.schema import Schema
from neurdicom.security.access import Access, Principal, check_self_or_admin
from neurdicom.security.authentication import SESSION_COOKIE
from neurdicom.security.user_schemas import NEW_USER, SIGN_IN, USER_CHANGES
from neurdicom.security.users import UserService

USER: Schema = {
    "type": "object",
    "required": ["id", "email", "name", "surname", "is_admin", "must_change_password", "created"],
    "properties": {
        "id": STRING,
        "email": STRING,
        "name": STRING,
        "surname": STRING,
        "is_admin": BOOLEAN,
        "must_change_password": {
            **BOOLEAN,
            "description": "True as long as the user has the one-time password of the first start.",
        },
        "created": {"type": "string", "format": "date-time"},
    },
}

_SIGNED_IN: Schema = {
    "type": "object",
    "required": ["token", "token_type", "expires", "user"],
    "properties": {
        "token": {**STRING, "description": "Send it with requests as `Authorization: Bearer TOKEN`."},
        "token_type": {"const": "Bearer"},
        "expires": {"type": "string", "format": "date-time"},
        "user": USER,
    },
}


def _json(description: str, schema: Schema) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


class _UserHandler(ApiHandler):
    @property
    def caller(self) -> Principal:
        """The caller; there is one wherever the operation's access is not public."""
        assert self.principal is not None
        return self.principal

    def set_session(self, token: str, expires: float) -> None:
        """Set the session cookie, which scripts and other sites can't read."""
        self.set_cookie(
            SESSION_COOKIE,
            token,
            expires=datetime.fromtimestamp(expires, UTC),
            path=self.public_path("") or "/",
            httponly=True,
            samesite="Strict",
            secure=self._is_secure(),
        )

    def _is_secure(self) -> bool:
        # Behind a proxy that ends TLS and does not say so, Origin has the scheme that the browser uses.
        return self.reach.scheme == "https" or self.request.headers.get("Origin", "").startswith("https://")


class SignInHandler(_UserHandler):
    """Handler of `/api/users/auth`."""

    users: UserService

    @operation(
        "Sign in",
        tag="users",
        access=Access.PUBLIC,
        description="Returns a bearer token, and sets it as the session cookie for pages of this server. After failed "
        "attempts, further ones have to wait (429 with Retry-After).",
        json=SIGN_IN,
        answers={
            200: _json("The session.", _SIGNED_IN),
            401: "Wrong e-mail address or password.",
            429: "Earlier attempts failed; Retry-After is the time to wait in seconds.",
        },
    )
    async def post(self) -> None:
        fields = await self.json_body()
        signed_in = await self.users.sign_in(fields["email"], fields["password"], address=self.request.remote_ip or "")
        self.set_session(signed_in.token, signed_in.expires)
        self.send_json(
            {
                "token": signed_in.token,
                "token_type": "Bearer",
                "expires": datetime.fromtimestamp(signed_in.expires, UTC).isoformat(timespec="seconds"),
                "user": signed_in.user.to_api(),
            }
        )


class SignOutHandler(_UserHandler):
    """Handler of `/api/users/logout`."""

    users: UserService

    @operation(
        "Sign out",
        tag="users",
        description="Revokes the token of the request, and clears the session cookie.",
        answers={204: "Signed out."},
    )
    async def post(self) -> None:
        await self.users.sign_out(self.caller)
        self.clear_cookie(SESSION_COOKIE, path=self.public_path("") or "/", httponly=True, samesite="Strict")
        self.set_status(204)
        await self.finish()


class CheckHandler(_UserHandler):
    """Handler of `/api/users/check`."""

    users: UserService

    @operation(
        "Get the signed-in user", tag="users", answers={200: _json("The user of the request's credential.", USER)}
    )
    async def get(self) -> None:
        self.send_json(await self.users.describe(self.caller))


class UsersHandler(_UserHandler):
    """Handler of `/api/users`."""

    users: UserService

    @operation(
        "List users",
        tag="users",
        access=Access.ADMIN,
        answers={200: _json("All users, ordered by e-mail address.", {"type": "array", "items": USER})},
    )
    async def get(self) -> None:
        self.send_json(await self.users.list())

    @operation(
        "Add a user",
        tag="users",
        access=Access.ADMIN,
        json=NEW_USER,
        answers={201: _json("The new user.", USER), 409: "Another user has this e-mail address."},
    )
    async def post(self) -> None:
        user = await self.users.add(await self.json_body())
        self.set_header("Location", self.public_path(f"/api/users/{user['id']}"))
        self.send_json(user, status=201)


class UserHandler(_UserHandler):
    """Handler of `/api/users/{id}`."""

    users: UserService

    async def check_path(self, *ids: str) -> None:
        check_self_or_admin(self.caller, *ids)
        await self.users.get(*ids)

    @operation(
        "Get a user",
        tag="users",
        description="Administrators may get every user, others only themselves.",
        answers={
            200: _json("The user.", USER),
            403: "The account of another user, for callers who are not administrators.",
        },
    )
    async def get(self, user: str) -> None:
        check_self_or_admin(self.caller, user)
        self.send_json(await self.users.get(user))

    @operation(
        "Change a user",
        tag="users",
        description="Administrators may change every user; others their own name and surname, and their password if "
        "they give `current_password`. A new password ends the user's other sessions.",
        json=USER_CHANGES,
        answers={
            200: _json("The changed user.", USER),
            403: "The account of another user, or a field that only administrators may change.",
            409: "Another user has this e-mail address, or no administrator would be left.",
        },
    )
    async def put(self, user: str) -> None:
        caller = check_self_or_admin(self.caller, user)
        self.send_json(await self.users.change(user, await self.json_body(), by=caller))

    @operation(
        "Delete a user",
        tag="users",
        access=Access.ADMIN,
        description="The last administrator can't be deleted.",
        answers={
            204: "The user is deleted, with all sessions and tokens.",
            409: "The user is the last administrator.",
        },
    )
    async def delete(self, user: str) -> None:
        await self.users.remove(user, by=self.caller)
        self.set_status(204)
        await self.finish()


ROUTES = [
    Route("/api/users/auth", SignInHandler),
    Route("/api/users/logout", SignOutHandler),
    Route("/api/users/check", CheckHandler),
    Route("/api/users", UsersHandler),
    Route("/api/users/{id}", UserHandler),
]
