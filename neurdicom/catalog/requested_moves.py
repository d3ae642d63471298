"""Moves that a request to merge, move or split makes of natural studies and series."""

from collections.abc import Iterable, Mapping
from typing import Any

from neurdicom.catalog.moves import Move, MoveRequest, NaturalSeries
from neurdicom.dicom.identity import key_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Value


def study_moves(request: MoveRequest, former: str, patient: str, studies: Iterable[tuple[str, str]]) -> list[Move]:
    """Make the moves of studies to another patient, after that of the former patient in a merge.

    Parameters
    ----------
    request : MoveRequest
        The request.
    former, patient : str
        Ids of the patient that has the studies, and of the one that they go to.
    studies : iterable of (str, str)
        Natural paths of the studies.
    """
    said: dict[str, Any] = {"before": former, "after": patient, "user": request.user, "time": request.time}
    moves = [Move(request.edit, Level.STUDY, path, patient, **said) for path in dict.fromkeys(studies)]
    if request.level is Level.PATIENT:
        merge = Move(request.edit, Level.PATIENT, (former,), patient, from_now_on=request.from_now_on, **said)
        return [merge, *moves]
    return moves


def series_moves(
    request: MoveRequest,
    series: Iterable[NaturalSeries],
    target: tuple[str, str],
    attributes: Mapping[str, Value],
    before: str,
) -> list[Move]:
    """Make the moves of series to another study.

    Parameters
    ----------
    request : MoveRequest
        The request.
    series : iterable of NaturalSeries
        The series.
    target : (str, str)
        Id of the patient in the key of that study, and its UID.
    attributes : Mapping[str, Value]
        Values of that study, which the series take.
    before : str
        Key of the study that the series belong to.
    """
    owner, study = target
    return [
        Move(
            request.edit,
            Level.SERIES,
            (one.patient, one.study, one.series),
            owner,
            study,
            attributes,
            before,
            key_of(study, owner),
            request.user,
            request.time,
            is_split=request.is_split,
        )
        for one in dict.fromkeys(series)
    ]
