"""Instances to be sent to another DICOM node, each as a file in a form that the node accepts."""

import asyncio
import logging
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from neurdicom.archive.lookup import locate_instance
from neurdicom.archive.render import RenderService
from neurdicom.archive.retrieve import RetrieveService
from neurdicom.archive.verify.guard import FileGuard
from neurdicom.blobs.base import BlobStore, Spool
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Entity, Location
from neurdicom.dicom.codec.transfer_syntaxes import CONVERSIONS
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Condition, Query
from neurdicom.errors import NotAvailable

log = logging.getLogger(__name__)

#: Instances that are selected at a time.
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Instance to be sent, as it is stored.

    Attributes
    ----------
    instance : str
        Its key.
    sop_class, transfer_syntax : str
        UIDs.
    """

    instance: str
    sop_class: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class OutgoingPage:
    """Page of the instances of a retrieval.

    Attributes
    ----------
    items : list of Outgoing
        The instances.
    last : str or None
        Id of the last one, for the `after` of the next page; None where this is the last page.
    """

    items: list[Outgoing]
    last: str | None


@dataclass(frozen=True, slots=True)
class OutgoingFile:
    """File of an instance to be sent.

    Attributes
    ----------
    sop_class, transfer_syntax : str
        UIDs, as they are in the file.
    parts : tuple of (path, offset)
        Local files whose bytes from the offset on make up the dataset, one after another.
    """

    sop_class: str
    transfer_syntax: str
    parts: tuple[tuple[str, int], ...]
    _temporary: Spool | None = field(default=None, repr=False)

    @property
    def is_temporary(self) -> bool:
        """True if a temporary file was made that is to be released."""
        return self._temporary is not None

    def release(self) -> None:
        """Delete the temporary file of this transfer. Idempotent; blocks briefly."""
        if self._temporary is not None:
            self._temporary.discard()


class TransferService:
    """Service that finds and prepares instances for C-STORE, edits applied."""

    def __init__(
        self, catalog: Catalog, blobs: BlobStore, guard: FileGuard, retrieve: RetrieveService, render: RenderService
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._guard = guard
        self._retrieve = retrieve
        self._render = render

    async def select(
        self, keys: Mapping[Level, Sequence[str]], *, patients: Sequence[str] = (), after: str | None = None
    ) -> OutgoingPage:
        """List a page of the instances that a C-MOVE or C-GET asks for, by SOP Instance UID.

        Parameters
        ----------
        keys : Mapping[Level, Sequence[str]]
            Unique keys: Patient IDs and UIDs. All levels must match, each by one value of its list.
        patients : sequence of str
            Patient IDs that are given though the information model has no patients: they decide where a Study Instance
            UID is of several patients, and are left out of account otherwise.
        after : str, optional
            `last` of the page before.
        """
        shared = await self._catalog.shared(Level.STUDY, keys.get(Level.STUDY, ()))
        if shared and patients:
            keys = {Level.PATIENT: patients, **keys}
        conditions = await self._conditions(keys)
        if conditions is None:
            return OutgoingPage([], None)
        if shared and after is None:
            await self._log_shared(shared, keys, conditions)
        query = Query(Level.INSTANCE, tuple(conditions), limit=PAGE, after=after, counted=False)
        found = (await self._catalog.find(query)).items
        return OutgoingPage([_outgoing(each) for each in found], found[-1]["id"] if len(found) == PAGE else None)

    async def _log_shared(self, shared: Iterable[str], keys: Iterable[Level], conditions: Sequence[Condition]) -> None:
        """Log that a retrieval by a Study Instance UID gets the studies of several patients."""
        level = list(Level)[max(list(Level).index(each) for each in keys)]
        found = (await self._catalog.find(Query(level, tuple(conditions), limit=None, counted=False))).items
        for uid in sorted(shared):
            studies = {each["id" if level is Level.STUDY else "study"] for each in found}
            several = sorted(study for study in studies if uid_of(study) == uid)
            if len(several) > 1:
                log.info(
                    "the study %s that a retrieval asks for is of %d patients: all are sent, each with its own patient "
                    "(%s)",
                    uid,
                    len(several),
                    ", ".join(several),
                )

    async def _conditions(self, keys: Mapping[Level, Sequence[str]]) -> list[Condition] | None:
        """Translate unique keys; None where nothing can match."""
        conditions: list[Condition] = []
        for level, values in keys.items():
            if level is Level.PATIENT:
                # The catalog ignores case, but unique keys are case-sensitive.
                query = Query(Level.PATIENT, (AnyOf("patient_id", tuple(values)),), limit=None)
                patients = [
                    each["id"] for each in (await self._catalog.find(query)).items if each["patient_id"] in values
                ]
                if not patients:
                    return None
                conditions.append(AnyOf("patient", tuple(patients)))
            else:
                conditions.append(AnyOf(level.value, tuple(values)))
        return conditions

    async def describe(self, instances: Sequence[str]) -> list[Outgoing]:
        """Describe the instances of these keys that exist, in the order given."""
        locations = [(instance, await self._catalog.locate(instance)) for instance in instances]
        return [
            Outgoing(instance, location.layout["sop_class"], location.layout["transfer_syntax"])
            for instance, location in locations
            if location is not None
        ]

    async def prepare(self, instance: str, accepted: Sequence[str]) -> OutgoingFile:
        """Prepare an instance, by its key, in a transfer syntax that the receiver accepts for its SOP class.

        It is sent as stored where that is accepted; otherwise converted, preferably to native pixels, never with loss.
        Call `release` of the result afterwards.

        Raises
        ------
        NotFound
            There is no such instance.
        Damaged
            Its file is damaged.
        NotAvailable
            None of these transfer syntaxes can hold it.
        """
        location = await locate_instance(self._catalog, instance)
        stored = location.layout["transfer_syntax"]
        if stored in accepted:
            return await self._as_stored(location)
        reasons = []
        for syntax in CONVERSIONS:
            if syntax in accepted:
                try:
                    return await self._converted(location, syntax)
                except NotAvailable as error:
                    reasons.append(f"{syntax}: {error}")
        offered = ", ".join(accepted) or "nothing"
        raise NotAvailable(
            f"the instance is stored in transfer syntax {stored} and the receiver accepts {offered} for its SOP class"
            + "".join(f"; {reason}" for reason in reasons)
        )

    async def _as_stored(self, location: Location) -> OutgoingFile:
        layout = location.layout
        path, offset = str(await self._guard.path(location)), layout["dataset_offset"]
        header, copy_from = await self._retrieve.edited_header(location) if location.edited else (b"", 0)
        if not header:
            parts: tuple[tuple[str, int], ...] = ((path, offset),)
            return OutgoingFile(layout["sop_class"], layout["transfer_syntax"], parts)
        spool = await asyncio.to_thread(self._written, header)
        parts = ((str(spool.path), offset), (path, copy_from))
        return OutgoingFile(layout["sop_class"], layout["transfer_syntax"], parts, spool)

    def _written(self, data: bytes) -> Spool:
        spool = self._blobs.new_spool()
        try:
            spool.write(data)
        except BaseException:
            spool.discard()
            raise
        return spool

    async def _converted(self, location: Location, transfer_syntax: str) -> OutgoingFile:
        spool = await asyncio.to_thread(self._blobs.new_spool)
        try:
            await self._render.transcode_into(location, transfer_syntax, spool.path)
            offset = await asyncio.to_thread(_dataset_offset, spool.path)
        except BaseException:
            await asyncio.to_thread(spool.discard)
            raise
        sop_class = location.layout["sop_class"]
        return OutgoingFile(sop_class, transfer_syntax, ((str(spool.path), offset),), spool)


def _outgoing(entity: Entity) -> Outgoing:
    sop_class, syntax = str(entity["sop_class_uid"] or ""), str(entity["transfer_syntax_uid"] or "")
    return Outgoing(str(entity["key"]), sys.intern(sop_class), sys.intern(syntax))


def _dataset_offset(path: Path) -> int:
    """Find the first byte after the File Meta Information of a file that we wrote, whose group length is right."""
    with path.open("rb") as file:
        (length,) = struct.unpack_from("<I", file.read(144), 140)
    return 144 + int(length)
