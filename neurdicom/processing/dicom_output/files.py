"""Results as DICOM instances: written by a worker process, returned, or stored in the source's study."""

import asyncio
import logging
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from neurdicom.archive.ingest.service import IngestService, disk_error
from neurdicom.archive.lookup import get_entity, locate_instance
from neurdicom.archive.remove import RemoveService
from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Entity, Location
from neurdicom.dicom.header import Header
from neurdicom.dicom.identity import Place, uid_of
from neurdicom.dicom.part10 import read_header
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Query
from neurdicom.errors import Conflict, NeurdicomError, NotAvailable
from neurdicom.processing.result_store import ResultStore
from neurdicom.processing.run import DICOM, ResolvedRun, RunResult
from neurdicom.workers.call import CancellationToken
from neurdicom.workers.pool import WorkerPool
from neurdicom.workers.program import Program, Reply

Returned = TypeVar("Returned")

log = logging.getLogger(__name__)

WRITER = Program(
    kind="builtin", target="neurdicom.processing.dicom_output.tasks", name="DICOM writer", timeout=300.0, memory=4096
)


@dataclass(frozen=True, slots=True)
class DerivedFile:
    """DICOM file made of a result; durable, and not yet an instance of the archive.

    Attributes
    ----------
    path : Path
        The file, in the spool folder.
    size : int
        Size in bytes.
    sha256 : str
        SHA-256 of its bytes, in hexadecimal.
    instance : str
        SOP Instance UID.
    is_returned : bool
        Whether the plugin itself made the dataset.
    """

    path: Path
    size: int
    sha256: str
    instance: str
    is_returned: bool


class DicomOutput:
    """Service that makes DICOM instances of results.

    Parameters
    ----------
    catalog : Catalog
        Tells which instances exist.
    blobs : BlobStore
        Has the spool folder for the files.
    pool : WorkerPool
        One of its workers writes the files.
    ingest : IngestService
        Stores them, as it does all that arrives.
    remove : RemoveService
        Deletes stored instances, also of a result that could not be stored completely.
    results : ResultStore
        Records the instances that are made of a kept result.
    """

    def __init__(
        self,
        catalog: Catalog,
        blobs: BlobStore,
        pool: WorkerPool,
        ingest: IngestService,
        remove: RemoveService,
        results: ResultStore,
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._pool = pool
        self._ingest = ingest
        self._remove = remove
        self._results = results

    async def write(
        self, run: ResolvedRun, exact: RunResult, stored: tuple[str, ...] = ()
    ) -> tuple[Reply, tuple[str, ...]]:
        """Write a result as DICOM files; store them if the request says so, and return them if its format is DICOM.

        Storing is completed even when the caller is cancelled, so that no result is stored half.

        Parameters
        ----------
        run : ResolvedRun
            The run.
        exact : RunResult
            An image result in the format `EXACT`, JSON, or datasets.
        stored : tuple of str
            Keys of instances that were made of it before.

        Returns
        -------
        reply : Reply
            The files; empty where the request's format is another.
        stored : tuple of str
            Keys of the stored instances.

        Raises
        ------
        NotAvailable
            Such a result has no form in DICOM.
        NotInstalled
            Its form is written by a library that is not installed.
        PluginFailed
            It does not fit META.json, or a dataset can't be stored.
        Conflict
            There is another instance with a UID that the plugin gave.
        Unavailable
            The disk or the catalog refuses.
        """
        request = run.request
        source = await locate_instance(self._catalog, run.inputs[0].key)
        async with self._files(run, source, exact.reply) as files:
            reply = await _reply_of(files) if request.format == DICOM else Reply()
            if request.store and not stored:
                stored = await _to_the_end(self._store(source, files, exact.result))
        return reply, stored

    async def delete(self, instances: Sequence[str]) -> None:
        """Delete instances that were made of results, by their keys, as far as they still exist."""
        await self._remove.delete_instances(instances)

    @asynccontextmanager
    async def _files(self, run: ResolvedRun, source: Location, reply: Reply) -> AsyncIterator[list[DerivedFile]]:
        """Let a worker write the files of a result; they are deleted after the context, unless they were stored."""
        kind = reply.meta.get("kind")
        if kind not in ("image", "json", "dicom"):
            raise NotAvailable(f"the result of {run.tool.name!r} is bytes, which have no form in DICOM")
        series = (await self._catalog.ids(Level.SERIES, [source.series]))[source.series]
        folder = self._blobs.spool_folder / f"derived-{secrets.token_hex(16)}"
        writing: asyncio.Task[Reply] | None = None
        token = CancellationToken()
        try:
            try:
                body = await asyncio.to_thread(_write_body, folder, reply.body)
            except OSError as error:
                raise disk_error(error) from error
            arguments = run.to_wire(series, reply.meta.get("slices")) | {
                "result": str(body),
                "kind": kind,
                "media_type": reply.meta.get("media_type", ""),
                "stack": bool(reply.meta.get("stack")),
                "identity": run.digest_with(reply),
                "made": datetime.now(UTC).isoformat(),
                "output": str(folder / "file"),
            }
            writing = asyncio.create_task(self._pool.call(WRITER, "derive", arguments, token=token))
            written = await asyncio.shield(writing)
            yield [
                DerivedFile(Path(each["path"]), each["size"], each["sha256"], each["instance"], kind == "dicom")
                for each in written.meta["files"]
            ]
        finally:
            token.cancel()  # files that are not written by now are not needed
            self._ingest.later(_remove_after(writing, folder))

    async def _store(self, source: Location, files: Sequence[DerivedFile], result: str | None) -> tuple[str, ...]:
        """Store files as instances after the result's record lists them: a crash leaves no unlisted instance."""
        headers = await asyncio.to_thread(lambda: [read_header(file.path) for file in files])
        study = await get_entity(self._catalog, Level.STUDY, source.study)
        places = [Place.of(study["patient"], *header.ids[1:]) for header in headers]
        missing = []
        for file, header, place in zip(files, headers, places, strict=True):
            if await self._is_missing(file, place):
                missing.append((file, header))
        instances = tuple(place.instance for place in places)
        if result is not None:
            await self._results.note_made(result, instances)
        try:
            await self._enter([self._adopt(file, header) for file, header in missing])
        except NeurdicomError:
            if result is not None:
                await self._results.note_made(result, ())
            raise
        if result is not None:
            await self._results.note_made(result, instances)
        return instances

    async def _is_missing(self, file: DerivedFile, place: Place) -> bool:
        """Tell whether a file is no instance yet, of an earlier run with the same result.

        A plugin's dataset is refused where another instance has its UID, or a series of another study that of its
        series. Raises `Conflict`.
        """
        location = await self._catalog.locate(place.instance)
        if location is None:
            if file.is_returned:
                await self._check_uids(file, place)
            return True
        if file.is_returned and location.blob.sha256 != file.sha256:
            raise _taken(file)
        return False

    async def _check_uids(self, file: DerivedFile, place: Place) -> None:
        """Check that a new dataset of a plugin makes no conflict. Raises `Conflict`."""
        series, study = uid_of(place.series), uid_of(place.study)
        for found in await self._of_uid(Level.SERIES, series):
            if uid_of(found["study"]) != study:
                raise Conflict(
                    f"the plugin's dataset has the Series Instance UID {series}, which a series of the study "
                    f"{uid_of(found['study'])} has already; one of the study {study}, or a new one, is expected"
                )
        for found in await self._of_uid(Level.INSTANCE, file.instance):
            if (uid_of(found["series"]), uid_of(found["study"])) != (series, study):
                raise _taken(file)

    async def _of_uid(self, level: Level, uid: str) -> list[Entity]:
        """List the entities of any place that have a UID."""
        query = Query(level, (AnyOf(level.value, (uid,)),), limit=None, counted=False)
        return (await self._catalog.find(query)).items

    async def _adopt(self, file: DerivedFile, header: Header) -> str:
        """Store a file; return its key, empty where another request was quicker."""
        result = await self._ingest.adopt(file.path.name, file.path, file.size, file.sha256, header)
        if result.error is not None:
            raise result.error
        return result.place.instance if result.place is not None and result.status == "stored" else ""

    async def _enter(self, adoptions: Iterable[Awaitable[str]]) -> None:
        """Store files at the same time, so that they share a transaction; if one fails, delete the others."""
        outcomes = await asyncio.gather(*adoptions, return_exceptions=True)
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if not errors:
            return
        for instance in outcomes:
            if isinstance(instance, str) and instance:
                try:
                    await self._remove.delete(Level.INSTANCE, instance)
                except NeurdicomError as error:
                    log.warning(
                        "instance %s of a result that was stored in part could not be deleted, and stays: %s",
                        instance,
                        error,
                    )
        raise errors[0]


def _taken(file: DerivedFile) -> Conflict:
    return Conflict(
        f"the plugin's dataset has the SOP Instance UID {file.instance}, which another instance has already"
    )


async def _reply_of(files: Sequence[DerivedFile]) -> Reply:
    """Read the files as an answer: one as application/dicom, several as multipart/related; before they are stored."""
    bodies = await asyncio.to_thread(lambda: [file.path.read_bytes() for file in files])
    meta = {"kind": "dicom", "media_type": "application/dicom"}
    if len(bodies) == 1:
        return Reply(meta, bodies[0])
    boundary = secrets.token_hex(16)
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = b"".join(head + each + b"\r\n" for each in bodies) + f"--{boundary}--\r\n".encode()
    return Reply(meta | {"media_type": f'multipart/related; type="application/dicom"; boundary={boundary}'}, body)


def _write_body(folder: Path, body: bytes | memoryview) -> Path:
    """Write a result's bytes to a new folder, in which a worker reads them and writes its files."""
    folder.mkdir(mode=0o700)
    path = folder / "result"
    path.write_bytes(body)
    return path


async def _remove_after(writing: asyncio.Task[Reply] | None, folder: Path) -> None:
    """Delete remaining files, once the call has ended or was stopped."""
    if writing is not None:
        await asyncio.wait([writing])
        if not writing.cancelled():
            writing.exception()  # retrieved; its own caller gets it, if there still is one
    await asyncio.to_thread(_remove, folder)


def _remove(folder: Path) -> None:
    """Delete the remaining files of a result: its bytes, and files that did not become instances.

    A stopped worker may outlive its call for a moment; it then finds no folder of the name that it knows.
    """
    removed = folder.with_name(f"{folder.name}-removed")
    try:
        folder.rename(removed)
        shutil.rmtree(removed)
    except FileNotFoundError:  # the disk was too full even for the folder
        return
    except OSError as error:
        log.warning("files of a result could not be deleted, and stay until the next start: %s", error)


async def _to_the_end(work: Coroutine[Any, Any, Returned]) -> Returned:
    """Await work that goes on when the caller is cancelled, and then wait for its end."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # retrieved, since nobody else does
        raise
