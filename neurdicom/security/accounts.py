"""User accounts as documents of the catalog, by email address.

The address is the key, so that the catalog prevents two users with the same one; the id of a user never changes.
"""

import unicodedata
import uuid
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from neurdicom.catalog.documents import DocumentQuery, Documents
from neurdicom.errors import Conflict
from neurdicom.security.access import Principal
from neurdicom.security.user_schemas import EMAIL

_KIND = "user"


@dataclass(frozen=True, slots=True)
class User:
    """The account of a user.

    Attributes
    ----------
    id : str
        Generated id, never used again.
    email : str
        Email address in lower case, by which the user signs in.
    name, surname : str
        First name and surname; may be empty.
    is_admin : bool
        True for an administrator.
    password : str
        argon2id hash (PHC string); never returned.
    must_change_password : bool
        True as long as the password is the one-time password of the first start.
    created : str
        Time of creation, ISO 8601, UTC.
    revision : int
        Number that grows with each change.
    """

    id: str
    email: str
    name: str
    surname: str
    is_admin: bool
    password: str
    must_change_password: bool
    created: str
    revision: int = 0

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Read a document that `Accounts` wrote."""
        return cls(**{name: document[name] for name in cls.__slots__})

    def to_api(self) -> dict[str, Any]:
        """Describe the user for the API."""
        hidden = ("password", "revision")
        return {name: value for name, value in asdict(self).items() if name not in hidden}

    def as_principal(self) -> Principal:
        """Make the principal of the user's requests."""
        return Principal(self.id, self.email, self.is_admin)


class Accounts:
    """Store of user accounts."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def add(self, user: User) -> None:
        """Store a new user. Raises `Conflict` if another user has the email address."""
        if not await self._documents.add(_KIND, user.email, asdict(user)):
            raise Conflict(f"there is already a user {user.email}", field="email")

    async def find(self, user: str) -> User | None:
        """Find a user by id."""
        found = _newest((await self._documents.query(_KIND, DocumentQuery({"id": user}))).items)
        return found.get(user)

    async def find_by_email(self, email: str) -> User | None:
        """Find a user by email address, normalized by `check_email`."""
        document = await self._documents.get(_KIND, email)
        return None if document is None else await self.find(document["id"])

    async def list(self) -> list[User]:
        """List all users, ordered by email address."""
        found = _newest((await self._documents.query(_KIND)).items)
        return sorted(found.values(), key=lambda user: user.email)

    async def change(self, user: User, **changes: Any) -> User:
        """Store a changed user. Raises `Conflict` if another user has the new email address."""
        changed = replace(user, revision=user.revision + 1, **changes)
        if changed.email == user.email:
            await self._documents.put(_KIND, {changed.email: asdict(changed)})
        else:
            # A crash between the two leaves both documents; `_newest` then ignores the earlier one.
            await self.add(changed)
            await self._documents.delete(_KIND, user.email)
        return changed

    async def remove(self, user: User) -> None:
        """Delete a user, under every address that an interrupted change may have left."""
        page = await self._documents.query(_KIND, DocumentQuery({"id": user.id}))
        await self._documents.delete(_KIND, *(document["email"] for document in page.items))


def new_id() -> str:
    """Make a user id."""
    return uuid.uuid4().hex


def check_email(value: object) -> str:
    """Check an email address, and normalize it. Raises `Invalid`."""
    return normal_email(EMAIL.read(value, field="email"))


def normal_email(email: str) -> str:
    """Normalize a checked email address to the form in which it is stored."""
    return unicodedata.normalize("NFKC", email).strip().lower()


def _newest(documents: list[dict[str, Any]]) -> dict[str, User]:
    found: dict[str, User] = {}
    for user in map(User.from_document, documents):
        if user.id not in found or user.revision > found[user.id].revision:
            found[user.id] = user
    return found
