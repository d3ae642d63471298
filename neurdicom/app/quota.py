"""Composition of the quota."""

from neurdicom.app.storage import Storage
from neurdicom.archive.labels.service import LabelService
from neurdicom.archive.quota.candidates import StudyCandidates
from neurdicom.archive.quota.enforcer import QuotaEnforcer
from neurdicom.archive.quota.limits import QuotaLimits
from neurdicom.archive.quota.meter import QuotaMeter
from neurdicom.archive.quota.service import QuotaService
from neurdicom.archive.remove import RemoveService
from neurdicom.archive.trash.restored import RestoredStudies
from neurdicom.archive.trash.service import TrashService
from neurdicom.config import Settings
from neurdicom.data_folder import server_name
from neurdicom.jobs import JobQueue
from neurdicom.nodes.verification import KIND as VERIFY
from neurdicom.processing.study_use import JobStudyUse


def compose_quota(
    settings: Settings,
    storage: Storage,
    trash: TrashService,
    remove: RemoveService,
    labels: LabelService,
    queue: JobQueue,
) -> QuotaService:
    """Make the service that keeps the archive within its limits.

    Parameters
    ----------
    settings : Settings
    storage : Storage
        Catalog and blob store.
    trash : TrashService
        Is emptied first.
    remove : RemoveService
        Moves studies to the trash.
    labels : LabelService
        Knows the protected studies.
    queue : JobQueue
        Has the jobs, whose studies are deleted last.
    """
    limits = QuotaLimits(settings.max_storage, settings.max_age_days)
    meter = QuotaMeter(storage.catalog, trash, labels)
    candidates = StudyCandidates(storage.catalog, labels, trash, RestoredStudies(storage.catalog))
    use = JobStudyUse(storage.catalog, queue, left_out=(VERIFY,))
    enforcer = QuotaEnforcer(limits, meter, candidates, use, trash, remove, settings.stable_seconds)
    return QuotaService(storage.documents, limits, meter, enforcer, server_name(settings.data))
