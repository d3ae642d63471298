"""Users on a real embedded catalog."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

from argon2 import PasswordHasher

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.sqlite import SqliteCatalog
from neurdicom.security import passwords
from neurdicom.security.users import UserService

#: The hash of the product, without what makes each last a tenth of a second.
WEAK = partial(PasswordHasher, time_cost=1, memory_cost=64, parallelism=1)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def open_users(folder: Path, catalog: Catalog | None = None) -> AsyncIterator[UserService]:
    """The service on a data folder; its own catalog, unless another is given, may be open elsewhere too."""
    folder.mkdir(exist_ok=True)
    catalog = catalog or SqliteCatalog(folder / "catalog.sqlite")
    await catalog.open()
    with patch.object(passwords, "PasswordHasher", WEAK):
        users = UserService(catalog.documents, folder, session_seconds=3600)
    try:
        yield users
    finally:
        await users.close()
        await catalog.close()
