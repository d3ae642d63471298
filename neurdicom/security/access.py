"""Access control: the one place that decides who may do what, and where finer roles and the audit trail belong.

Operations name the `Access` that they need; `check_access` compares it with the `Principal` behind the request. A rule
that needs more than the role (a group's studies, say) becomes a further parameter of `check_access`, so that no handler
and no service decides anything by itself.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from neurdicom.errors import Forbidden, Unauthenticated


class Access(StrEnum):
    """Access that an operation requires of its caller."""

    PUBLIC = "public"  # anyone, signed in or not
    USER = "user"  # anyone signed in
    ADMIN = "admin"  # administrators


@dataclass(frozen=True, slots=True)
class Principal:
    """User behind a request.

    Attributes
    ----------
    id : str
        Id of the user.
    email : str
        The user's address, for logs and for the record of who edited what.
    is_admin : bool
        Whether the user manages users and plugins.
    session : str or None
        Digest of the token that was presented, with which signing out finds it; None without authentication.
    """

    id: str
    email: str
    is_admin: bool = False
    session: str | None = field(default=None, repr=False)


#: The principal of all requests when the server runs without authentication (on a loopback address only).
LOCAL_ADMINISTRATOR = Principal(id="local", email="local@localhost", is_admin=True)


def check_access(access: Access, principal: Principal | None) -> None:
    """Check that a principal has the required access.

    Raises
    ------
    Unauthenticated
        The operation needs a credential and there is no valid one.
    Forbidden
        The principal is known, but is not allowed to.
    """
    if access is Access.PUBLIC:
        return
    if principal is None:
        raise Unauthenticated(
            "a valid credential is needed: sign in with POST /api/users/auth and send 'Authorization: Bearer TOKEN'"
        )
    if access is Access.ADMIN and not principal.is_admin:
        raise Forbidden(f"{principal.email} is not an administrator, and only administrators may do this")


def check_self_or_admin(principal: Principal | None, user: str) -> Principal:
    """Check that a principal is an administrator, or the given user.

    Raises
    ------
    Unauthenticated, Forbidden
        As `check_access`.
    """
    check_access(Access.USER if principal is not None and principal.id == user else Access.ADMIN, principal)
    assert principal is not None
    return principal
