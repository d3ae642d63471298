"""Demographics that moves write into the files of a patient."""

from neurdicom.catalog.mongo.entities import latest_studies
from neurdicom.catalog.mongo.origins import origins_of, said_by
from neurdicom.catalog.mongo.unit import UnitOfWork
from neurdicom.catalog.moves import demographics_of
from neurdicom.catalog.shown import LATEST_STUDIES, merged, of_latest
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Value


async def claimed_demographics(unit: UnitOfWork, patient: str) -> dict[str, Value]:
    """Compute the demographics of a patient from the files that name it, edits not applied.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    patient : str
        Id of the patient.
    """
    said = []
    for study in await latest_studies(unit, patient, LATEST_STUDIES):
        origins = await origins_of(unit, Level.STUDY, study["_id"])
        own = [one for one in origins if "moved" not in one or one["moved"]["natural"][0] == patient]
        said.append(merged(Level.STUDY, said_by(own)).values)
    return demographics_of(of_latest(said))


async def said_of_study(unit: UnitOfWork, study: str) -> dict[str, Value]:
    """Compute the attributes of a study without edits.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    study : str
        Its document's id.
    """
    return merged(Level.STUDY, said_by(await origins_of(unit, Level.STUDY, study))).values
