"""Check of the stored files of a data folder, whose server may run, by a command."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from neurdicom.app.backends import make_blobs, make_catalog
from neurdicom.app.integrity import compose_integrity
from neurdicom.app.storage import Storage
from neurdicom.archive.verify.rate import RateLimit
from neurdicom.archive.verify.repair import FolderSource, RepairSource
from neurdicom.archive.verify.trash_source import TrashSource
from neurdicom.archive.verify.verification import VerificationReport
from neurdicom.catalog.sqlite.copy import require_catalog
from neurdicom.config import Settings
from neurdicom.dicomweb.client.peer import DicomWebFiles
from neurdicom.nodes.service import NodeService
from neurdicom.nodes.verification import source_of

Progress = Callable[[int, int | None], None]


async def verify_folder(
    settings: Settings,
    *,
    rate: float,
    repair: bool,
    folders: Sequence[Path],
    nodes: Sequence[str],
    progress: Progress,
) -> VerificationReport:
    """Check all files, and repair those that are damaged if that is wanted.

    A running server refuses what is found from then on, and gives out what is repaired.

    Parameters
    ----------
    settings : Settings
        `data` is the folder; its catalog may be in MongoDB.
    rate : float
        MiB that are read in a second; 0 for no limit.
    repair : bool
        Whether damaged files are repaired: from the trash first.
    folders : sequence of Path
        Folders of backups, or of DICOM files, that may have the bytes of damaged files.
    nodes : sequence of str
        Names of DICOMweb nodes that may have them.
    progress : callable
        Called with the number of files so far, and of all.

    Returns
    -------
    VerificationReport

    Raises
    ------
    Invalid
        There is no such folder, or a node is none of DICOMweb.
    NotFound
        There is no such node.
    Unavailable
        The catalog does not respond, or the files are away.
    """
    if not settings.mongodb_uri:
        require_catalog(settings.data / "catalog.sqlite")  # opening it would make an empty one
    async with AsyncExitStack() as stack:
        catalog = make_catalog(settings)
        stack.push_async_callback(catalog.close)
        await catalog.open()
        blobs = make_blobs(settings)
        stack.push_async_callback(blobs.close)
        await blobs.attach()
        integrity = compose_integrity(settings, Storage(catalog, blobs), announces=True)
        stack.push_async_callback(integrity.damage.close)
        await integrity.damage.open()
        files = DicomWebFiles()
        stack.push_async_callback(files.close)
        known = NodeService(catalog.documents)
        sources: list[RepairSource] = [TrashSource(blobs)] if repair else []
        sources += [FolderSource(folder) for folder in folders]
        sources += [source_of(await known.get(name), files) for name in nodes]
        verification, report = integrity.verification, VerificationReport.begin()
        total = await verification.count()
        with RateLimit(rate) as pace:
            async for series in verification.series():
                await verification.check_series(series["key"], report, pace, sources)
                progress(report.files, total)
            await verification.check_trash(report, pace, sources)
            await verification.find_unknown(report)
        await verification.finish(report, "command")
        return report
