"""Jobs: long work that is recorded in the catalog, survives a restart, and reports what failed and why.

Owns the documents of jobs (`job`, `job_items`, `job_log`, `job_lease`) and the port of job runners. May import
coordination, security and what lies below them.
"""

from neurdicom.jobs.events import JobEvent
from neurdicom.jobs.items import ITEM_STATES
from neurdicom.jobs.job import Job
from neurdicom.jobs.queue import JobQueue
from neurdicom.jobs.runner import Failure, Item, ItemOutcome, Runner
from neurdicom.jobs.service import JobService
from neurdicom.jobs.states import STATES

__all__ = [
    "ITEM_STATES",
    "STATES",
    "Failure",
    "Item",
    "ItemOutcome",
    "Job",
    "JobEvent",
    "JobQueue",
    "JobService",
    "Runner",
]
