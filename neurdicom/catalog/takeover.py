"""Takeovers: what goes along with a study to another patient, of whom a later file says more than those before."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from neurdicom.catalog.moves import Move
from neurdicom.dicom.identity import PatientClaim, key_of
from neurdicom.dicom.query.attributes import Level


def going_along(moves: Iterable[Move], study: str, former: str, patient: str) -> set[str]:
    """Find the studies that go over to another patient with one: it, what was split off it, and off that.

    Parameters
    ----------
    moves : iterable of Move
        All splits of these patients' studies, or more moves.
    study : str
        UID of the study.
    former, patient : str
        Ids of the patient that it had, and of the one that it has from now on; the moves may be renamed in part.

    Returns
    -------
    set of str
        UIDs.
    """
    patients = (former, patient)
    splits = [move for move in moves if move.is_split and move.patient in patients]
    found, count = {study}, 0
    while len(found) > count:
        count = len(found)
        keys = {key_of(uid, each) for uid in found for each in patients}
        found |= {move.study for move in splits if move.before in keys}
    return found


def renamed(move: Move, studies: Collection[str], former: str, patient: str) -> Move:
    """Return a move as it is after studies went over to another patient: what it is of, and where series go to.

    Parameters
    ----------
    move : Move
        The move.
    studies : collection of str
        UIDs of the studies.
    former, patient : str
        Ids of the patient that they had, and of the one that they have from now on.
    """
    if move.level is not Level.PATIENT and move.path[0] == former and move.path[1] in studies:
        move = replace(move, path=(patient, *move.path[1:]))
    if move.level is Level.SERIES:
        keys = {key_of(uid, former): key_of(uid, patient) for uid in studies}
        move = replace(move, before=keys.get(move.before, move.before), after=keys.get(move.after, move.after))
        if move.patient == former and move.study in studies:
            move = replace(move, patient=patient)
    return move


def claims_along(
    own: Mapping[PatientClaim, str], source: Mapping[PatientClaim, str], former: str, patient: str
) -> dict[PatientClaim, str]:
    """Compute the claims of a study that goes over to another patient with the one that it was split off.

    What names that patient names it there, too; but where files of the study name others its claims stay.

    Parameters
    ----------
    own, source : Mapping[PatientClaim, str]
        The claims of the study until now, and those of the other one from now on.
    former, patient : str
        Ids of the patient that they had, and of the one that they have from now on.
    """
    if own and former not in own.values():
        return dict(own)
    kept = {claim: patient if owner == former else owner for claim, owner in own.items()}
    return {claim: owner for claim, owner in source.items() if owner == patient} | kept
