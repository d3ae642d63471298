"""Migration of the documents of earlier schemas to the present one."""

from collections.abc import Callable

from neurdicom.catalog.base import MigrationProgress
from neurdicom.catalog.mongo.connection import MongoConnection
from neurdicom.errors import Unavailable


async def migrate(connection: MongoConnection, progress: Callable[[MigrationProgress], None]) -> None:
    """Bring all documents along, for `Catalog.migrate`."""
    raise Unavailable("documents of schema 1 can't be brought along yet")
