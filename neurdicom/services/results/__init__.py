"""Results that stay: a cache, a resource, and the provenance of what was made."""

from neurdicom.services.results.identity import result_id
from neurdicom.services.results.keeper import Kept
from neurdicom.services.results.record import ANY, BESIDE, Body, Record, representation
from neurdicom.services.results.service import Hit, ResultService

__all__ = ["ANY", "BESIDE", "Body", "Hit", "Kept", "Record", "ResultService", "representation", "result_id"]
