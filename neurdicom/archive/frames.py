"""Frames of instances as stored, or decoded and encoded anew by a worker; at most one is held in memory."""

import asyncio
import os
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from neurdicom.archive.lookup import check_frames, frame_count
from neurdicom.archive.render import PIXELS
from neurdicom.archive.verify.guard import FileGuard
from neurdicom.catalog.records import Location
from neurdicom.dicom.codec.transfer_syntaxes import VIDEO_MEDIA_TYPES
from neurdicom.dicom.header import Layout
from neurdicom.dicom.identity import uid_of
from neurdicom.errors import NotAvailable, NotFound, PluginError
from neurdicom.pixels.decode.fragments import Fragment, FrameIndex
from neurdicom.pixels.decode.stored import FramePlaces, find_frames
from neurdicom.workers.pool import WorkerPool

_PIECE = 1 << 20
#: Most fragments, of all files together, whose offsets are cached; each takes 16 bytes.
_REMEMBERED = 1 << 20


@dataclass(frozen=True, slots=True)
class FrameData:
    """Frame to be sent.

    Attributes
    ----------
    size : int
        Size in bytes.
    syntax : str
        Transfer Syntax UID that it is in.
    """

    size: int
    syntax: str
    _file: int
    _places: Sequence[Fragment]
    _body: bytes | memoryview | None = None

    async def read(self) -> AsyncIterator[bytes]:
        """Yield the frame in pieces of bounded size. Raises `OSError` where the file ends within it."""
        if self._body is not None:
            yield bytes(self._body)
            return
        for place in self._places:
            start, end = place.offset, place.offset + place.length
            while start < end:
                piece = await asyncio.to_thread(os.pread, self._file, min(_PIECE, end - start), start)
                if not piece:
                    raise OSError(f"the file ends {end - start} bytes before the frame does")
                start += len(piece)
                yield piece


class FrameService:
    """Service that gives frames."""

    def __init__(self, guard: FileGuard, pool: WorkerPool) -> None:
        self._guard = guard
        self._pool = pool
        self._indexes: OrderedDict[str, FrameIndex] = OrderedDict()

    def check(self, location: Location, frames: Sequence[int] | None) -> tuple[str, Sequence[int]]:
        """Check the requested frames; return the transfer syntax that they are stored in, and their numbers.

        Parameters
        ----------
        location : Location
            Of the instance.
        frames : sequence of int or None
            Frame numbers, from 1; None for all.

        Raises
        ------
        NotFound
            There is no such frame.
        NotAvailable
            The instance is a video, whose frames can't be separated without decoding it.
        """
        layout = location.layout
        if layout.get("pixel_keyword") is None:
            raise NotFound(f"the instance {uid_of(location.instance)!r} has no pixel data, and so no frames")
        if layout["transfer_syntax"] in VIDEO_MEDIA_TYPES:
            raise NotAvailable(
                f"the instance {uid_of(location.instance)!r} is a video; request /rendered, or the bulk data of its "
                "Pixel Data"
            )
        check_frames(location, frames or ())
        return layout["transfer_syntax"], range(1, frame_count(location) + 1) if frames is None else frames

    async def read(
        self, location: Location, frames: Sequence[int], syntax: str, *, lenient: bool = False
    ) -> AsyncIterator[FrameData]:
        """Yield frames in a transfer syntax, one at a time; each is to be read before the next is asked for.

        Parameters
        ----------
        location : Location
            Of the instance.
        frames : sequence of int
            Frame numbers, from 1.
        syntax : str
            UID of the transfer syntax.
        lenient : bool
            Yield frames that can't be converted as they are stored.

        Raises
        ------
        NotFound
            The file is gone.
        Damaged
            The file is damaged.
        NotAvailable
            The frames can't be separated, decoded, or encoded in this transfer syntax.
        """
        layout, path = Layout.from_document(location.layout), await self._guard.path(location)
        if syntax == layout.transfer_syntax:
            key = location.blob.key
            opening = asyncio.ensure_future(asyncio.to_thread(_open, path, layout, frames, self._indexes.get(key)))
            try:
                async with self._guard.decoding(location):
                    file, found, body = await asyncio.shield(opening)
            except asyncio.CancelledError:
                opening.add_done_callback(_close_opened)  # the thread may just be opening it
                raise
            self._remember(key, found.index)
            try:
                for each in found.places or ():
                    yield FrameData(sum(place.length for place in each), syntax, file, each, body)
            finally:
                os.close(file)
            if found.places is not None:
                return
        stored = layout.transfer_syntax
        if lenient and syntax != stored and len(frames) > 1:
            # Whether all are there shows before the answer begins.
            last = frames[-1:] if isinstance(frames, range) else [max(frames)]
            await asyncio.to_thread(find_frames, path, layout, last, self._indexes.get(location.blob.key))
        for place, frame in enumerate(frames):
            arguments = {"path": str(path), "layout": dict(location.layout), "frame": frame, "transfer_syntax": syntax}
            try:
                async with self._guard.decoding(location):
                    reply = await self._pool.call(PIXELS, "frame", arguments)
            except (NotAvailable, PluginError):  # a worker that crashes, too
                if not lenient or syntax == stored:
                    raise
                # What holds of the first frame holds of all, as a rule.
                as_stored = self.read(location, [frame] if place else frames, stored)
                async with aclosing(cast(AsyncGenerator[FrameData, None], as_stored)) as found_stored:
                    async for each_stored in found_stored:
                        yield each_stored
                if not place:
                    return
                continue
            yield FrameData(len(reply.body), syntax, -1, (), reply.body)

    def _remember(self, key: str, index: FrameIndex | None) -> None:
        """Cache the latest indexes, of a bounded size in all."""
        self._indexes.pop(key, None)
        if index is None or len(index) > _REMEMBERED:
            return
        self._indexes[key] = index
        while sum(map(len, self._indexes.values())) > _REMEMBERED:
            self._indexes.popitem(last=False)


def _close_opened(opening: "asyncio.Future[tuple[int, FramePlaces, bytes | None]]") -> None:
    """Close a file that was opened for a caller who has left."""
    if not opening.cancelled() and opening.exception() is None:
        os.close(opening.result()[0])


def _open(
    path: Path, layout: Layout, frames: Sequence[int], index: FrameIndex | None
) -> tuple[int, FramePlaces, bytes | None]:
    """Open a file, and find the frames in it; a single small frame is read at once."""
    found = find_frames(path, layout, frames, index)
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFound("the file of this instance is gone") from error
    if found.places is None or len(found.places) != 1 or len(found.places[0]) != 1:
        return file, found, None
    ((place,),) = found.places
    try:
        body = os.pread(file, place.length, place.offset) if place.length <= _PIECE else b""
    except BaseException:
        os.close(file)
        raise
    return file, found, body if len(body) == place.length else None
