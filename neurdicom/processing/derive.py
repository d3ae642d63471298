"""Results as DICOM instances: written by a worker process, given out, or stored in the source's study."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from neurdicom.archive.ingest.service import IngestService, disk_error
from neurdicom.archive.remove import RemoveService
from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.dicom.header import Header
from neurdicom.dicom.part10 import read_header
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Conflict, NeurdicomError, NotAvailable
from neurdicom.plugins.tools import Tool
from neurdicom.workers.executor import Input
from neurdicom.workers.pool import WorkerPool
from neurdicom.workers.program import Program, Reply

log = logging.getLogger(__name__)

#: What an image result is computed as, to be derived from: its values and its shape as they are.
EXACT = "npy"
#: The format that asks for DICOM instances.
DICOM = "dicom"

WRITER = Program(
    kind="builtin", target="neurdicom.processing.dicom_output.tasks", name="DICOM writer", timeout=300.0, memory=4096
)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a result came of."""

    tool: Tool
    inputs: tuple[Input, ...]
    params: Mapping[str, Any]

    @property
    def run(self) -> str:
        """Names all runs of the same code with the same parameters: over one series they make one derived series."""
        return _digest([self.tool.type, self.tool.id, self.tool.digest, dict(self.params)])

    def identity(self, reply: Reply) -> str:
        """Names the result: the same one of the same sources becomes the same instances."""
        sources = [[one.instance, one.sha256, one.frame, list(one.edits)] for one in self.inputs]
        return _digest([self.run, sources, sha256(reply.body).hexdigest()])

    def as_arguments(self, slices: Sequence[tuple[int, int]] | None = None) -> dict[str, Any]:
        """As the worker takes it; `slices` are the inputs' frames in the order of a volume, where it is another."""
        tool = self.tool
        names = ("type", "id", "name", "version", "author", "digest", "input")
        return {
            "sources": [
                {"path": one.path, "frame": frame, "edits": list(one.edits)}
                for one, frame in (
                    ((self.inputs[number], frame) for number, frame in slices)
                    if slices
                    else ((one, one.frame) for one in self.inputs)
                )
            ],
            "tool": {name: getattr(tool, name) for name in names} | {"produces": dict(tool.produces)},
            "params": dict(self.params),
            "run": self.run,
        }


@dataclass(frozen=True, slots=True)
class DerivedFile:
    """A DICOM file that was made of a result; durable, and not yet an instance."""

    path: Path
    size: int
    sha256: str
    instance: str
    is_returned: bool


class DeriveService:
    """Makes DICOM instances of results.

    Parameters
    ----------
    catalog : Catalog
    blobs : BlobStore
    pool : WorkerPool
        One of its workers writes the files.
    ingest : IngestService
        Stores them, as it does all that arrives.
    remove : RemoveService
        Takes back what was stored of a result that could not be stored whole.
    """

    def __init__(
        self, catalog: Catalog, blobs: BlobStore, pool: WorkerPool, ingest: IngestService, remove: RemoveService
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._pool = pool
        self._ingest = ingest
        self._remove = remove

    @asynccontextmanager
    async def files(self, origin: Origin, reply: Reply) -> AsyncIterator[list[DerivedFile]]:
        """The files of a result, for as long as the context lasts; those that were stored stay.

        Parameters
        ----------
        origin : Origin
        reply : Reply
            An image result in the format `EXACT`, JSON, or datasets.

        Raises
        ------
        NotAvailable
            Such a result has no form in DICOM.
        NotInstalled
            Its form is written by a library that is not installed.
        PluginFailed
            It is not what META.json says, or a dataset can't be stored.
        Unavailable
            The disk refuses.
        """
        kind = reply.meta.get("kind")
        if kind not in ("image", "json", "dicom"):
            raise NotAvailable(f"the result of {origin.tool.name!r} is bytes, which have no form in DICOM")
        output = self._blobs.spool_folder / f"derived-{secrets.token_hex(16)}"
        writing: asyncio.Task[Reply] | None = None
        try:
            try:
                await asyncio.to_thread(_write, output, reply.body)
            except OSError as error:
                raise disk_error(error) from error
            arguments = origin.as_arguments(reply.meta.get("slices")) | {
                "result": str(output),
                "kind": kind,
                "media_type": reply.meta.get("media_type", ""),
                "stack": bool(reply.meta.get("stack")),
                "identity": origin.identity(reply),
                "made": datetime.now(UTC).isoformat(),
                "output": str(output),
            }
            writing = asyncio.create_task(self._pool.call(WRITER, "derive", arguments))
            written = await asyncio.shield(writing)
            yield [
                DerivedFile(Path(each["path"]), each["size"], each["sha256"], each["instance"], kind == "dicom")
                for each in written.meta["files"]
            ]
        finally:
            self._ingest.later(_clear_after(writing, output))

    async def missing(self, files: Sequence[DerivedFile]) -> list[DerivedFile]:
        """Those that are no instances yet, of an earlier run with the same result.

        Raises
        ------
        Conflict
            There is another instance with a UID that the plugin gave.
        """
        return [file for file in files if await self._is_missing(file)]

    async def store(self, files: Sequence[DerivedFile]) -> None:
        """Store files as instances, all or none. Not to be cancelled: half a result is none.

        Raises
        ------
        Unavailable
            The disk or the catalog refuses.
        """
        headers = await asyncio.to_thread(lambda: [read_header(file.path) for file in files])
        await self._enter([self._adopt(file, header) for file, header in zip(files, headers, strict=True)])

    async def _is_missing(self, file: DerivedFile) -> bool:
        location = await self._catalog.locate(file.instance)
        if location is None:
            return True
        if file.is_returned and location.blob.sha256 != file.sha256:
            raise Conflict(
                f"the plugin's dataset has the SOP Instance UID {file.instance}, which another instance has already"
            )
        return False

    async def _adopt(self, file: DerivedFile, header: Header) -> str:
        """Store a file; its SOP Instance UID, empty where another request was quicker."""
        result = await self._ingest.adopt(file.path.name, file.path, file.size, file.sha256, header)
        if result.error is not None:
            raise result.error
        return file.instance if result.status == "stored" else ""

    async def _enter(self, adoptions: Iterable[Awaitable[str]]) -> None:
        """Store files at the same time, so that they share a transaction; when one can't be, those that were go."""
        outcomes = await asyncio.gather(*adoptions, return_exceptions=True)
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if not errors:
            return
        for instance in outcomes:
            if isinstance(instance, str) and instance:
                try:
                    await self._remove.delete(Level.INSTANCE, instance)
                except NeurdicomError as error:
                    log.warning("%s, of a result that could not be stored whole, stays: %s", instance, error)
        raise errors[0]


async def as_reply(files: Sequence[DerivedFile]) -> Reply:
    """The files as an answer: one as application/dicom, several as multipart/related; before they are stored."""
    bodies = await asyncio.to_thread(lambda: [file.path.read_bytes() for file in files])
    meta = {"kind": "dicom", "media_type": "application/dicom"}
    if len(bodies) == 1:
        return Reply(meta, bodies[0])
    boundary = secrets.token_hex(16)
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = b"".join(head + each + b"\r\n" for each in bodies) + f"--{boundary}--\r\n".encode()
    return Reply(meta | {"media_type": f'multipart/related; type="application/dicom"; boundary={boundary}'}, body)


def _write(path: Path, body: bytes | memoryview) -> None:
    with path.open("xb") as file:
        file.write(body)


async def _clear_after(writing: asyncio.Task[Reply] | None, output: Path) -> None:
    """Remove what is left once the worker has ended: it goes on when nobody waits for it any more."""
    if writing is not None:
        await asyncio.wait([writing])
        if not writing.cancelled():
            writing.exception()  # its own caller has it, if there still is one
    await asyncio.to_thread(_clear, output)


def _clear(output: Path) -> None:
    """Remove what is left of a result: its bytes, and files that did not become instances."""
    for file in output.parent.glob(f"{output.name}*"):
        with contextlib.suppress(FileNotFoundError):
            file.unlink()


def _digest(value: Any) -> str:
    return sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()
