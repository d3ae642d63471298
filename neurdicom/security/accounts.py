"""What is kept of a user, as documents of the catalog by e-mail address.

The address is the key, so that the catalog itself keeps two users from having the same one; the id never changes.
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
    """A user's account.

    Attributes
    ----------
    id : str
        Generated, and never used again.
    email : str
        In lower case; what the user signs in with.
    name, surname : str
    is_admin : bool
    password : str
        argon2id hash (PHC string); never given out.
    must_change_password : bool
        The password is the one that was made at the first start.
    created : str
        ISO 8601, UTC.
    revision : int
        Rises with each change.
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
        """Read what `Accounts` wrote."""
        return cls(**{name: document[name] for name in cls.__slots__})

    def to_api(self) -> dict[str, Any]:
        """What the API tells of the user."""
        hidden = ("password", "revision")
        return {name: value for name, value in asdict(self).items() if name not in hidden}

    def as_principal(self) -> Principal:
        """The user as the origin of a request."""
        return Principal(self.id, self.email, self.is_admin)


class Accounts:
    """The users' documents."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def add(self, user: User) -> None:
        """Store a new user. Raises `Conflict` if the address is taken."""
        if not await self._documents.add(_KIND, user.email, asdict(user)):
            raise Conflict(f"there is a user {user.email} already", field="email")

    async def find(self, user: str) -> User | None:
        """A user by id."""
        found = _newest((await self._documents.query(_KIND, DocumentQuery({"id": user}))).items)
        return found.get(user)

    async def find_by_email(self, email: str) -> User | None:
        """A user by address, which is in the form that `check_email` answers."""
        document = await self._documents.get(_KIND, email)
        return None if document is None else await self.find(document["id"])

    async def list(self) -> list[User]:
        """All users, by address."""
        found = _newest((await self._documents.query(_KIND)).items)
        return sorted(found.values(), key=lambda user: user.email)

    async def change(self, user: User, **changes: Any) -> User:
        """Store a changed user. Raises `Conflict` if a new address is taken."""
        changed = replace(user, revision=user.revision + 1, **changes)
        if changed.email == user.email:
            await self._documents.put(_KIND, {changed.email: asdict(changed)})
        else:
            # A crash between the two leaves both documents; `_newest` then passes over the earlier one.
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
    """Answer an address in the form that it is kept in. Raises `Invalid`."""
    return normal_email(EMAIL.read(value, field="email"))


def normal_email(email: str) -> str:
    """Answer an address that was checked in the form that it is kept in."""
    return unicodedata.normalize("NFKC", email).strip().lower()


def _newest(documents: list[dict[str, Any]]) -> dict[str, User]:
    found: dict[str, User] = {}
    for user in map(User.from_document, documents):
        if user.id not in found or user.revision > found[user.id].revision:
            found[user.id] = user
    return found
