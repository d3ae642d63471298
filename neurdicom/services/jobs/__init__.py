"""Long work: jobs that live in the catalog, survive a restart, and report what failed and why."""

from neurdicom.services.jobs.feed import News
from neurdicom.services.jobs.items import ITEM_STATES
from neurdicom.services.jobs.record import STATES, Job
from neurdicom.services.jobs.runner import Failure, Item, Outcome, Runner
from neurdicom.services.jobs.service import JobService

__all__ = ["ITEM_STATES", "STATES", "Failure", "Item", "Job", "JobService", "News", "Outcome", "Runner"]
