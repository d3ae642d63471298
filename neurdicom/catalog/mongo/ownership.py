"""Claims: whose the files of each Study Instance UID are, and what goes along when a study goes to another patient."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from pymongo import DeleteOne, UpdateOne

from neurdicom.catalog.mongo.edits import forget_edits, rename_history
from neurdicom.catalog.mongo.schema import Document
from neurdicom.catalog.mongo.stored_moves import StoredMoves
from neurdicom.catalog.mongo.unit import UnitOfWork
from neurdicom.catalog.takeover import claims_along
from neurdicom.dicom.identity import PatientClaim, belonging, key_of, uid_of
from neurdicom.dicom.query.attributes import Level

#: The claims of a Study Instance UID in the order of their first arrival, with the patients that they belong to.
Claims = dict[PatientClaim, str]


def as_claims(entries: Iterable[Document]) -> Claims:
    """Read claims from the members of a document of the collection `claims`."""
    return {PatientClaim(one["key"], one["patient_id"], one["issuer"]): one["patient"] for one in entries}


def as_entries(claims: Mapping[PatientClaim, str]) -> list[Document]:
    """Write claims as members of a document of the collection `claims`."""
    return [
        {"key": claim.key, "patient_id": claim.patient_id, "issuer": claim.issuer, "patient": patient}
        for claim, patient in claims.items()
    ]


def with_claim(claims: Mapping[PatientClaim, str], claim: PatientClaim) -> Claims:
    """Add the claim of a stored file; one that says more about a patient takes the claims of that patient along."""
    owner = belonging(claim, claims)
    kept = {each: owner.patient if patient == owner.moved_from else patient for each, patient in claims.items()}
    return kept | ({} if claim in claims else {claim: owner.patient})


async def load_claims(unit: UnitOfWork, studies: Collection[str]) -> dict[str, Claims]:
    """Look up the claims of Study Instance UIDs; those without any are left out."""
    if not studies:
        return {}
    return {one["_id"]: as_claims(one["claims"]) for one in await unit.among("claims", studies)}


async def write_claims(unit: UnitOfWork, owners: Mapping[str, Mapping[PatientClaim, str]]) -> None:
    """Store the claims of Study Instance UIDs."""
    operations: list[UpdateOne | DeleteOne] = []
    for study, claims in owners.items():
        members = {"claims": as_entries(claims), "keys": [claim.key for claim in claims]}
        changes = {"$set": members, "$inc": {"changes": 1}}
        operations.append(UpdateOne({"_id": study}, changes, upsert=True) if claims else DeleteOne({"_id": study}))
    await unit.bulk("claims", operations)


async def touch_claims(unit: UnitOfWork, studies: Collection[str]) -> None:
    """Make concurrent deletions of claims on Study Instance UIDs conflict with this transaction, which uses them."""
    if studies and unit.session is not None:
        where = {"_id": {"$in": sorted(studies)}}
        await unit["claims"].update_many(where, {"$inc": {"changes": 1}}, session=unit.session)


async def forget_claims(unit: UnitOfWork, studies: Collection[str], gone: Collection[str]) -> None:
    """Delete the claims on Study Instance UIDs that no move names, and no study but those about to be deleted.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    studies : collection of str
        Study Instance UIDs.
    gone : collection of str
        `_id`s of the studies that are deleted next.
    """
    left = {one["uid"] for one in await unit.among("studies", studies, "uid", by="uid") if one["_id"] not in gone}
    if unused := set(studies) - left:
        await unit.remove("claims", unused - await StoredMoves(unit).named(unused))


async def owner_of(unit: UnitOfWork, study: str, claim: str) -> str:
    """Look up the patient that files of a claim belong to.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    study : str
        Study Instance UID.
    claim : str
        Id that the patient has by these files alone.
    """
    found = await unit.one("claims", study)
    return next((one["patient"] for one in (found or {"claims": ()})["claims"] if one["key"] == claim), claim)


async def rename_edits(unit: UnitOfWork, study: str, former: str, patient: str) -> None:
    """Give the edits of a study, and of all below it, the keys that these have with another patient.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    study : str
        Study Instance UID.
    former, patient : str
        Ids of the patient until now, and from now on.
    """
    for one in await unit.all("edits", {"study": study}):
        uid, between = uid_of(one["entity"]), _between(one)
        if one["entity"] == key_of(uid, former, *between):
            await rename_history(unit, one, one | {"entity": key_of(uid, patient, *between)})


async def forget_edits_of_gone(unit: UnitOfWork, patients: Collection[str]) -> None:
    """Delete the edits of patients whose last studies others have taken over."""
    there = {one["_id"] for one in await unit.among("patients", patients, "_id")}
    await forget_edits(unit, Level.PATIENT, set(patients) - there)


def _between(edits: Document) -> tuple[str, ...]:
    above = (edits["study"], edits.get("series"))
    count = len(Level(edits["level"]).above) - 1
    return tuple(str(uid) for uid in above[:count])


async def settle_names(unit: UnitOfWork, moves: Sequence[tuple[str, str, str]], owners: Mapping[str, Claims]) -> None:
    """Rename edits and moves of an interrupted write to the patients that the studies have after its recovery.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    moves : sequence of (str, str, str)
        Study Instance UID, former and new patient of the studies that were announced to go over, in order.
    owners : Mapping[str, Claims]
        The claims after the recovery.
    """
    stored = StoredMoves(unit)
    for study, former, patient in moves:
        if former not in owners.get(study, {}).values():
            studies = await rename(unit, stored, study, former, patient)
            await follow_claims(unit, study, studies, former, patient)
    for study, former, patient in reversed(moves):
        if patient not in owners.get(study, {}).values():
            await rename(unit, stored, study, patient, former)


async def rename(unit: UnitOfWork, moves: StoredMoves, study: str, former: str, patient: str) -> set[str]:
    """Rename edits and moves of a study that goes over to another patient, and of those that were split off it.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    moves : StoredMoves
        The moves in force.
    study : str
        Study Instance UID.
    former, patient : str
        Ids of the patient until now, and from now on.

    Returns
    -------
    set of str
        Study Instance UIDs of all of them.
    """
    studies = await moves.going_along(study, former, patient)
    for uid in sorted(studies):
        await rename_edits(unit, uid, former, patient)
    await moves.rename(studies, former, patient)
    return studies


async def follow_claims(unit: UnitOfWork, study: str, studies: Collection[str], former: str, patient: str) -> None:
    """Write the claims of studies that go over to another patient with one that they were split off.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    study : str
        Study Instance UID of that one, whose claims are written already.
    studies : collection of str
        Study Instance UIDs of all of them.
    former, patient : str
        Ids of the patient until now, and from now on.
    """
    known = await load_claims(unit, studies)
    split_off = set(studies) - {study}
    of_study = known.get(study, {})
    await write_claims(unit, {uid: claims_along(known.get(uid, {}), of_study, former, patient) for uid in split_off})
