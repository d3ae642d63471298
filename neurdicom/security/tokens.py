"""Opaque bearer tokens: random, shown once, and stored only as their SHA-256."""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal, Self

from neurdicom.catalog.documents import DocumentQuery, Documents

_KIND = "token"
_PREFIX = "nd_"  # lets people and secret scanners recognise a leaked token

TokenPurpose = Literal["session", "api"]


@dataclass(frozen=True, slots=True)
class Token:
    """Stored form of a token.

    Attributes
    ----------
    digest : str
        SHA-256 of the token, hexadecimal. A token has 256 random bits, so that a slow hash would add nothing.
    user : str
        Id of the user that it stands for.
    purpose : {"session", "api"}
        Sessions end when the password changes; tokens for programs last until they are revoked.
    created, expires : float
        Seconds since the epoch; `expires` is None for a token that lasts until it is revoked.
    """

    digest: str
    user: str
    purpose: TokenPurpose
    created: float
    expires: float | None

    @classmethod
    def from_document(cls, document: dict[str, object]) -> Self:
        """Read a document that `TokenStore` wrote."""
        return cls(**{name: document[name] for name in cls.__slots__})  # type: ignore[arg-type]

    def expired(self, now: float) -> bool:
        """Tell whether the token has expired."""
        return self.expires is not None and self.expires <= now


def digest_of(token: str) -> str:
    """Hash a presented token as `Token.digest` has it."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class TokenStore:
    """Store of tokens as documents of the catalog, by digest."""

    def __init__(self, documents: Documents, *, clock: Callable[[], float] = time.time) -> None:
        self._documents = documents
        self._clock = clock

    async def issue(self, user: str, *, purpose: TokenPurpose, lifetime: float | None) -> tuple[str, Token]:
        """Make a token.

        Parameters
        ----------
        user : str
            Id of the user that it stands for.
        purpose : {"session", "api"}
            What it is for.
        lifetime : float or None
            Seconds; None for no end.

        Returns
        -------
        tuple of str and Token
            The secret, which can't be recovered later, and the stored form.
        """
        secret = _PREFIX + secrets.token_urlsafe(32)
        now = self._clock()
        expires = None if lifetime is None else now + lifetime
        token = Token(digest_of(secret), user, purpose, now, expires)
        await self._documents.put(_KIND, {token.digest: asdict(token)})
        return secret, token

    async def find(self, digest: str) -> Token | None:
        """Find a token that is valid now; None if there is none."""
        document = await self._documents.get(_KIND, digest)
        if document is None:
            return None
        token = Token.from_document(document)
        return None if token.expired(self._clock()) else token

    async def revoke(self, digest: str) -> bool:
        """Revoke a token; return False if there was none."""
        return bool(await self._documents.delete(_KIND, digest))

    async def revoke_all(self, user: str, *, purpose: TokenPurpose | None = None, keep: str | None = None) -> int:
        """Revoke a user's tokens, and return their number.

        Parameters
        ----------
        user : str
            Id of the user.
        purpose : {"session", "api"}, optional
            Only tokens for this purpose; by default all.
        keep : str, optional
            Digest of a token that stays.
        """
        equal = {"user": user} if purpose is None else {"user": user, "purpose": purpose}
        count = 0
        for document in (await self._documents.query(_KIND, DocumentQuery(equal))).items:
            if document["digest"] != keep:
                count += await self.revoke(document["digest"])
        return count

    async def purge(self, user: str | None = None) -> int:
        """Delete expired tokens, of one user or of all, and return their number."""
        now = self._clock()
        equal = {} if user is None else {"user": user}
        documents = (await self._documents.query(_KIND, DocumentQuery(equal))).items
        expired = [token for token in map(Token.from_document, documents) if token.expired(now)]
        for token in expired:
            await self.revoke(token.digest)
        return len(expired)
