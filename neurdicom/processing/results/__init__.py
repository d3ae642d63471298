"""Results that stay: a cache, a resource, and the provenance of what was made."""

from neurdicom.processing.results.identity import result_id
from neurdicom.processing.results.keeper import Kept
from neurdicom.processing.results.record import ANY, BESIDE, Body, Record, representation
from neurdicom.processing.results.service import Hit, ResultService
from neurdicom.processing.results.shelf import mark_unclean

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
