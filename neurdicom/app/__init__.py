"""The composition root: the only package that names concrete adapters, and the order of starting and stopping.

It imports everything but the command line; only that, tests and tools import it.
"""

from neurdicom.app.server import ROUTES, NeurdicomServer
from neurdicom.app.storage import make_catalog, reindex_folder

__all__ = ["ROUTES", "NeurdicomServer", "make_catalog", "reindex_folder"]
