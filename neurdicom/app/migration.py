"""Migration of a catalog that an earlier version wrote, at the start of a server or before a reindex."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import socket

from neurdicom.app.documents_migration import migrate_documents
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import MigrationProgress
from neurdicom.config import Settings
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Query
from neurdicom.dimse.ul.tls import acceptor_context
from neurdicom.dimse.unready import AssociationRejecter
from neurdicom.http.migrating import MigratingServer, MigrationState
from neurdicom.http.paths import RequestPaths

log = logging.getLogger(__name__)

#: Kind and key of the document that says which form all other documents have.
KIND = "migration"
_DOCUMENTS = "documents"

#: Form of the documents: 1 since they name entities by their keys.
_FORM = 1

#: Seconds between two lines in the log.
_LOG_SECONDS = 10.0


async def is_migration_due(catalog: Catalog) -> bool:
    """Tell whether entities or documents of an earlier version are left."""
    return await catalog.needs_migration() or not await _are_documents_done(catalog)


async def is_empty(catalog: Catalog) -> bool:
    """Tell whether a catalog has no instances, of this version or of an earlier one."""
    if await catalog.needs_migration():
        return False
    return not (await catalog.find(Query(Level.PATIENT, limit=1, counted=False))).items


async def migrate(catalog: Catalog, state: MigrationState | None = None) -> None:
    """Bring the entities and the documents of an earlier version to this one; go on where a killed process stopped.

    Parameters
    ----------
    catalog : Catalog
        Opened; nothing else uses it.
    state : MigrationState, optional
        Is kept up to date.
    """
    state = MigrationState() if state is None else state
    if await catalog.needs_migration():
        reporter = _Reporter(state)
        log.info("the catalog of an earlier version is migrated; only this version can use it from now on")
        await catalog.migrate(reporter.report)
        log.info("%d instances of the catalog are migrated", state.done)
    if not await _are_documents_done(catalog):
        for finding in await migrate_documents(catalog):
            log.warning("migration: %s", finding)
        await catalog.documents.put(KIND, {_DOCUMENTS: {"form": _FORM}})


@asynccontextmanager
async def answering_unready(
    settings: Settings, sockets: list[socket], state: MigrationState, paths: RequestPaths
) -> AsyncIterator[None]:
    """Answer requests and associations with the state of the migration, for as long as the context lasts.

    Parameters
    ----------
    settings : Settings
        Where DIMSE listens.
    sockets : list of socket
        Where HTTP listens.
    state : MigrationState
        What `/api/health` shows.
    paths : RequestPaths
        Reads the paths of requests.
    """
    tls = acceptor_context(settings.dimse_tls_certificate, settings.dimse_tls_key, settings.dimse_tls_ca)
    async with MigratingServer(sockets, state, paths), AssociationRejecter(settings.host, settings.dimse_port, tls):
        yield


async def _are_documents_done(catalog: Catalog) -> bool:
    done = await catalog.documents.get(KIND, _DOCUMENTS)
    return done is not None and done["form"] >= _FORM


class _Reporter:
    """Reporter of a migration's progress to the state and, now and then, to the log."""

    def __init__(self, state: MigrationState) -> None:
        self._state = state
        self._logged = time.monotonic()

    def report(self, progress: MigrationProgress) -> None:
        self._state.done, self._state.total = progress.done, progress.total
        for finding in progress.findings:
            log.warning("migration: %s", finding)
        if time.monotonic() - self._logged > _LOG_SECONDS:
            self._logged = time.monotonic()
            log.info("%d of %d instances of the catalog are migrated", progress.done, progress.total)
