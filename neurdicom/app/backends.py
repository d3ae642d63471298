"""Adapters that the settings choose for the ports of the catalog and of the files.

Commands on a server's documents (`neurdicom user`) import this module without the rest of the server, whose import
takes longer than their work.
"""

from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.config import Settings


def make_catalog(settings: Settings) -> Catalog:
    """Make the catalog that the settings choose: MongoDB where `mongodb_uri` is set, SQLite otherwise.

    Returns
    -------
    Catalog
        Not open yet.
    """
    if settings.mongodb_uri:
        from neurdicom.catalog.mongo import MongoCatalog  # its driver uses memory that SQLite does not need

        return MongoCatalog(settings.mongodb_uri)
    from neurdicom.catalog.sqlite import SqliteCatalog

    return SqliteCatalog(settings.data / "catalog.sqlite")


def make_blobs(settings: Settings) -> BlobStore:
    """Make the blob store that the settings choose: a folder below the data folder.

    Returns
    -------
    BlobStore
        Not open yet.
    """
    from neurdicom.blobs.local import LocalBlobStore

    return LocalBlobStore(settings.data / "blobs")
