"""Decision where an arrival lies, before anything is written for it."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from neurdicom.catalog.moves import NaturalSeries, Placement
from neurdicom.catalog.outcomes import Refusal, StorePolicy
from neurdicom.catalog.records import NewInstance
from neurdicom.catalog.sqlite.lookup import claims_of
from neurdicom.catalog.sqlite.rows import CHOSEN, json_of
from neurdicom.catalog.sqlite.shown_ids import Namesake, ShownIds
from neurdicom.catalog.sqlite.stored_moves import MoveTable
from neurdicom.dicom.identity import SEPARATOR, Belonging, PatientClaim, Place, belonging, is_key, key_of, uid_of
from neurdicom.dicom.query.attributes import Level


@dataclass(frozen=True, slots=True)
class Decision:
    """Decision about the place of an arrival of an unknown origin.

    Attributes
    ----------
    place : Place
        Its natural keys.
    natural : NaturalSeries
        Natural path of its series.
    placement : Placement
        Place of its series by moves.
    claim : PatientClaim
        The patient that its file names.
    moved_from : str or None
        Id of the patient that its study had until now (`Belonging.moved_from`).
    claimed : tuple of PatientClaim
        The claims of its study that belong to its patient.
    study, series : int or None
        Rows of its study and series, as far as they are there.
    known : bool
        True if the claim is stored already.
    refusal : Refusal or None
        Why it can't be stored, or may not by the policy; this is decided once its study is with its patient.
    """

    place: Place
    natural: NaturalSeries
    placement: Placement
    claim: PatientClaim
    moved_from: str | None
    claimed: tuple[PatientClaim, ...]
    study: int | None
    series: int | None
    known: bool
    refusal: Refusal | None


def decide(db: sqlite3.Connection, ids: ShownIds, moves: MoveTable, new: NewInstance, policy: StorePolicy) -> Decision:
    """Decide where an arrival lies whose claims are not known yet.

    Parameters
    ----------
    db : sqlite3.Connection
        The writer's connection.
    ids : ShownIds
        The ids of this transaction.
    moves : MoveTable
        The moves in force.
    new : NewInstance
        The arrival.
    policy : StorePolicy
        What is done with those that meet others.
    """
    known = claims_of(db, new.study)
    claim = PatientClaim.read(new.patient, new.attributes)
    owner = belonging(claim, known)
    place = Place.of(owner.patient, new.study, new.series, new.instance)
    natural = NaturalSeries(owner.patient, new.study, new.series)
    # Moves of a study that goes over to another patient are those of the patient that it has until then.
    placement = moves.placement(replace(natural, patient=owner.moved_from or owner.patient))
    if owner.moved_from and not placement.via:
        placement = replace(placement, owner=owner.patient)
    studies = ids.namesakes(Level.STUDY, placement.study)
    holder = _patient_row(db, placement.patient)
    study = next((one for one in studies if one.parent == holder), None)
    all_series = ids.namesakes(Level.SERIES, new.series)
    series = next((one for one in all_series if study and one.parent == study.pk), None)
    instances = ids.namesakes(Level.INSTANCE, new.instance)
    instance = next((one for one in instances if series and one.parent == series.pk), None)
    refusal = None
    refuses = policy.conflicts == "refuse" and owner.moved_from is None
    for level, own, named in (
        (Level.STUDY, study, studies),
        (Level.SERIES, series, all_series),
        (Level.INSTANCE, instance, instances),
    ):
        others = [one for one in named if one is not own]
        key = placement.study_key if level is Level.STUDY else place.key(level)
        same_key = [one for one in others if f"{uid_of(key)}{SEPARATOR}{one.digest}" == key]
        if same_key or (refuses and own is None and others):
            refusal = refusal_of(db, level, same_key or others)
            break
    if refusal is None and owner.moved_from and study:
        refusal = _collision(db, owner, study)
    return Decision(
        place,
        natural,
        placement,
        claim,
        owner.moved_from,
        (*(one for one, of in known.items() if of in (owner.patient, owner.moved_from)), claim),
        study.pk if study else None,
        series.pk if series else None,
        claim in known,
        refusal,
    )


def refusal_of(
    db: sqlite3.Connection, level: Level, holders: Sequence[Namesake], *, same_place: bool = False
) -> Refusal:
    """Describe why an arrival is refused.

    Parameters
    ----------
    db : sqlite3.Connection
        The writer's connection.
    level : Level
        Level of the entity whose UID is there.
    holders : sequence of Namesake
        The entities that have it.
    same_place : bool
        True if the instance is there in the same place.
    """
    joins = "".join(f" JOIN {above} ON {above}.pk = {above.child}.parent" for above in reversed(level.above))
    rows = db.execute(
        f"SELECT DISTINCT patient.id FROM {level}{joins} WHERE {level}.pk {CHOSEN} ORDER BY patient.id",
        json_of([one.pk for one in holders]),
    )
    patients = tuple(patient for (patient,) in rows)
    return Refusal(level, uid_of(holders[0].id), tuple(one.id for one in holders), patients, same_place)


def _collision(db: sqlite3.Connection, owner: Belonging, study: Namesake) -> Refusal | None:
    """Find an entity that has a key already which something in a study would get with its other patient."""
    study_uid = uid_of(study.id)
    rows = db.execute("SELECT pk, id FROM series WHERE parent = ?", (study.pk,)).fetchall()
    wanted: list[tuple[Level, str, tuple[str, ...]]]
    wanted = [(Level.SERIES, entity, (owner.patient, study_uid)) for _, entity in rows if is_key(entity)]
    for pk, entity in rows:
        inside = db.execute("SELECT id FROM instance WHERE parent = ? AND instr(id, ?)", (pk, SEPARATOR)).fetchall()
        wanted += [(Level.INSTANCE, each, (owner.patient, study_uid, uid_of(entity))) for (each,) in inside]
    for level, entity, above in wanted:
        key = key_of(uid_of(entity), *above)
        if key != entity and (row := db.execute(f"SELECT pk FROM {level} WHERE id = ?", (key,)).fetchone()):
            return refusal_of(db, level, [Namesake(row[0], 0, key, "")])
    return None


def _patient_row(db: sqlite3.Connection, patient: str) -> int | None:
    row = db.execute("SELECT pk FROM patient WHERE id = ?", (patient,)).fetchone()
    return int(row[0]) if row else None
