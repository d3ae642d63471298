"""Stores that the services of the trash share."""

from dataclasses import dataclass
from typing import Self

from neurdicom.archive.garbage import GarbageCollector
from neurdicom.archive.labels.aside import LabelsAside
from neurdicom.archive.trash.derived import WithLabels
from neurdicom.archive.trash.entry import SetAsideObserver
from neurdicom.archive.trash.files import SetAsideFiles
from neurdicom.archive.trash.records import TrashRecords
from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.coordination import RetryQueue


@dataclass(frozen=True, slots=True)
class TrashStores:
    """Catalog, files and records of the trash, and the observer of its changes.

    Attributes
    ----------
    catalog : Catalog
        Has the entities, and the holds of backups.
    blobs : BlobStore
        Has the files.
    garbage : GarbageCollector
        Moves the files of deleted entities; its lock keeps others from moving files.
    observer : WithLabels
        Hides, shows again or deletes the results and labels of deleted entities.
    records : TrashRecords
        Records of the entries.
    files : SetAsideFiles
        Finds the files of the entries.
    retries : RetryQueue
        Does later what a disk or the catalog refuses after something was committed.
    """

    catalog: Catalog
    blobs: BlobStore
    garbage: GarbageCollector
    observer: WithLabels
    records: TrashRecords
    files: SetAsideFiles
    retries: RetryQueue

    @classmethod
    def of(cls, catalog: Catalog, blobs: BlobStore, garbage: GarbageCollector, observer: SetAsideObserver) -> Self:
        """Make the stores of a catalog and a blob store.

        Parameters
        ----------
        catalog : Catalog
            The catalog.
        blobs : BlobStore
            The blob store.
        garbage : GarbageCollector
            Their garbage collector.
        observer : SetAsideObserver
            Observer of deletions that has the results.
        """
        records, files = TrashRecords(catalog.documents), SetAsideFiles(catalog, blobs)
        return cls(catalog, blobs, garbage, WithLabels(observer, LabelsAside(catalog)), records, files, RetryQueue())
