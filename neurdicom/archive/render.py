"""Pictures, pixel samples and transcoded files of instances; worker processes do the work."""

import asyncio
import math
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from neurdicom import __version__
from neurdicom.archive.lookup import locate_instance
from neurdicom.archive.opened import OpenedFile
from neurdicom.archive.verify.guard import FileGuard
from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Location
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.uids import check_conformant_uid
from neurdicom.errors import Invalid, NotAvailable
from neurdicom.pixels.encode.formats import PICTURES, RAW
from neurdicom.workers.pool import Program, Reply, WorkerPool

#: Values of VOI LUT Function (0028,1056).
WINDOW_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")

#: Seconds for transcoding, long because of large multi-frame files; a picture takes milliseconds.
_TRANSCODE_SECONDS = 900.0

PIXELS = Program(kind="builtin", target="neurdicom.pixels.tasks", name="pixels", memory=6144)


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """Options of a picture.

    Attributes
    ----------
    format : str
        One of `pixels.encode.formats.PICTURES`.
    frame : int
        Frame number, from 1.
    window : tuple of float or None
        Center and width in modality units, in place of those in the file.
    width, height : int or None
        Size of the picture in pixels; with one of them the other follows, with both the picture fits into them.
    function : str or None
        VOI LUT Function, one of `WINDOW_FUNCTIONS`, in place of that in the file.
    region : tuple or None
        Left, top, width and height in pixels of the part to show; None is the rest, negative sizes mirror it.
    enlarge : bool
        Whether a smaller picture is enlarged to `width` and `height`.
    quality : int or None
        Quality of lossy formats, from 1 to 100.
    """

    format: str = "png"
    frame: int = 1
    window: tuple[float, float] | None = None
    width: int | None = None
    height: int | None = None
    function: str | None = None
    region: tuple[float, float, float | None, float | None] | None = None
    enlarge: bool = True
    quality: int | None = None

    def check(self) -> None:
        """Check the options. Raises `Invalid`."""
        if self.format not in PICTURES:
            raise Invalid(f"format is {self.format!r}; {', '.join(PICTURES)} are expected", field="format")
        if self.window is not None:
            center, width = self.window
            if not math.isfinite(center):
                raise Invalid(f"window_center is {center}; a finite number is expected", field="window_center")
            if not (math.isfinite(width) and width > 0):
                raise Invalid(f"window_width is {width}; a number above 0 is expected", field="window_width")
        if self.function is not None and self.function not in WINDOW_FUNCTIONS:
            raise Invalid(f"the window's function is {self.function!r}; {', '.join(WINDOW_FUNCTIONS)} are expected")

    def to_wire(self) -> dict[str, Any]:
        """Return the options as a worker takes them."""
        names = ("frame", "format", "window", "width", "height", "function", "region", "enlarge", "quality")
        return {name: getattr(self, name) for name in names}


class RenderService:
    """Service that shows and converts pixels."""

    def __init__(self, catalog: Catalog, blobs: BlobStore, guard: FileGuard, pool: WorkerPool) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._guard = guard
        self._pool = pool

    async def image(self, instance: str, options: ImageOptions) -> Reply:
        """Render a frame as a picture.

        Raises
        ------
        NotFound
            There is no such instance.
        Damaged
            Its file is damaged.
        Invalid
            An option is wrong, or there is no such frame.
        NotAvailable
            The instance has no pixels, or they can't be decoded or shown.
        """
        return await self.image_at(await locate_instance(self._catalog, instance), options)

    async def image_at(self, location: Location, options: ImageOptions) -> Reply:
        """Render a frame of an instance that was located before, whose `identity` it then has. Raises as `image`."""
        options.check()
        arguments = await self._arguments(location, options.frame) | options.to_wire()
        if location.edited:
            arguments["edits"] = await self._edits(location)
        async with self._guard.decoding(location):
            return await self._pool.call(PIXELS, "image", arguments)

    async def identity(self, location: Location, options: ImageOptions) -> str:
        """Compute a validator of a frame's picture, from the stored bytes, the edits and the options."""
        text = f"{__version__} {location.blob.sha256} {options} {sorted((await self._edits(location)).items())}"
        return sha256(text.encode()).hexdigest()[:32]

    async def _edits(self, location: Location) -> dict[str, Any]:
        """Read edited values by field."""
        edits = await self._catalog.edits(location.instance) if location.edited else []
        return {edit.field: edit.value for edit in edits}

    async def raw(self, instance: str, *, frame: int = 1, format: str | None = None) -> Reply:
        """Read a frame's stored samples. Raises as `image`.

        Parameters
        ----------
        instance : str
            Key or SOP Instance UID.
        frame : int
            Frame number, from 1.
        format : str, optional
            One of `pixels.encode.formats.RAW`; by default the samples as they are.
        """
        if format is not None and format not in RAW:
            raise Invalid(f"format is {format!r}; {', '.join(RAW)} are expected", field="format")
        location = await locate_instance(self._catalog, instance)
        arguments = await self._arguments(location, frame)
        async with self._guard.decoding(location):
            return await self._pool.call(PIXELS, "raw", arguments | {"format": format})

    async def transcode(self, instance: str, transfer_syntax: str) -> OpenedFile:
        """Transcode the file to another transfer syntax, edits applied.

        Raises
        ------
        NotFound
            There is no such instance.
        Invalid
            The transfer syntax is no UID.
        NotAvailable
            The transfer syntax can't hold its pixels, or they can't be decoded.
        """
        check_conformant_uid(transfer_syntax, "transfer_syntax")
        location = await locate_instance(self._catalog, instance)
        spool = await asyncio.to_thread(self._blobs.new_spool)
        try:
            size, etag = await self.transcode_into(location, transfer_syntax, spool.path)
            return OpenedFile(uid_of(location.instance), spool.path, size, etag)
        finally:
            await asyncio.to_thread(spool.discard)

    async def transcode_into(self, location: Location, transfer_syntax: str, output: Path) -> tuple[int, str]:
        """Write the file in another transfer syntax, edits applied. Raises as `transcode`.

        Parameters
        ----------
        location : Location
            Of the instance.
        transfer_syntax : str
            UID of the transfer syntax.
        output : Path
            File to write.

        Returns
        -------
        size : int
            Size in bytes.
        etag : str
            Strong validator, without quotes.
        """
        edits = await self._catalog.edits(location.instance) if location.edited else []
        changes = [edit.to_wire() for edit in edits]
        arguments = {
            "path": str(await self._guard.path(location)),
            "layout": dict(location.layout),
            "transfer_syntax": transfer_syntax,
            "output": str(output),
            "edits": changes,
        }
        async with self._guard.decoding(location):
            reply = await self._pool.call(PIXELS, "transcode", arguments, timeout=_TRANSCODE_SECONDS)
        identity = f"{location.blob.sha256} {transfer_syntax} {changes}"
        return reply.meta["size"], sha256(identity.encode()).hexdigest()

    async def _arguments(self, location: Location, frame: int) -> dict[str, Any]:
        if location.layout.get("pixel_keyword") is None:
            raise NotAvailable(f"the instance {uid_of(location.instance)!r} has no pixel data")
        path = await self._guard.path(location)
        return {"path": str(path), "layout": dict(location.layout), "frame": frame}
