"""Long work: jobs that live in the catalog, survive a restart, and report what failed and why."""

from neurdicom.jobs.events import News
from neurdicom.jobs.items import ITEM_STATES
from neurdicom.jobs.job import STATES, Job
from neurdicom.jobs.runner import Failure, Item, Outcome, Runner
from neurdicom.jobs.service import JobService

__all__ = ["ITEM_STATES", "STATES", "Failure", "Item", "Job", "JobService", "News", "Outcome", "Runner"]
