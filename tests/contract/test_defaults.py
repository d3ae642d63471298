"""The defaults of the ports keep the contract, too: an adapter that writes the abstract verbs alone is whole."""

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.sqlite import SqliteCatalog
from tests.contract import test_sqlite_catalog


class PlainCatalog(SqliteCatalog):
    """The embedded catalog without the verbs that need not be written."""

    get = Catalog.get
    sop_classes = Catalog.sop_classes
    locate = Catalog.locate
    digests = Catalog.digests
    headers = Catalog.headers
    edits = Catalog.edits


class TestDefaults(test_sqlite_catalog.TestSqliteCatalog):
    async def open_catalog(self) -> Catalog:
        catalog = PlainCatalog(self.path)
        await catalog.open()
        return catalog
