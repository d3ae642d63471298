"""Results that stay: a cache, a resource, and the provenance of what was made."""

from neurdicom.services.results.identity import result_id
from neurdicom.services.results.keeper import Kept
from neurdicom.services.results.record import ANY, BESIDE, Body, Record, representation
from neurdicom.services.results.service import Hit, ResultService
from neurdicom.services.results.shelf import mark_unclean

__all__ = [
    "ANY",
    "BESIDE",
    "Body",
    "Hit",
    "Kept",
    "Record",
    "ResultService",
    "mark_unclean",
    "representation",
    "result_id",
]
