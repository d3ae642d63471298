"""The demographics that files claim which were moved to a patient."""

from collections.abc import Mapping

from neurdicom.catalog.mongo.entities import latest_studies
from neurdicom.catalog.mongo.origins import origins_of, said_by
from neurdicom.catalog.mongo.stored_moves import StoredMoves
from neurdicom.catalog.mongo.unit import UnitOfWork
from neurdicom.catalog.moves import demographics_of
from neurdicom.catalog.shown import LATEST_STUDIES, merged, of_latest
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Value


async def new_demographics(
    unit: UnitOfWork, moves: StoredMoves, patient: str, otherwise: Mapping[str, Value] | None = None
) -> dict[str, Value] | None:
    """Compute what files claim that are moved to a patient from now on; None where that is known already.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    moves : StoredMoves
        The moves.
    patient : str
        Id of the patient.
    otherwise : Mapping[str, Value], optional
        Attributes by field that give them where the patient is not there yet.
    """
    if await moves.demographics(patient) is not None:
        return None
    studies = await latest_studies(unit, patient, LATEST_STUDIES)
    if not studies:
        return demographics_of(otherwise or {})
    return demographics_of(of_latest([await said_of_study(unit, one["_id"]) for one in studies]))


async def said_of_study(unit: UnitOfWork, study: str) -> dict[str, Value]:
    """Compute what a study shows without edits."""
    return merged(Level.STUDY, said_by(await origins_of(unit, Level.STUDY, study))).values
