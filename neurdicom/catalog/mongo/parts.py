"""Parts: the origins of an entity, by the natural series that they are of."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson

from neurdicom.catalog.mongo.origins import MovedOrigin, earliest
from neurdicom.catalog.mongo.ownership import load_claims
from neurdicom.catalog.mongo.schema import Document
from neurdicom.catalog.mongo.unit import UnitOfWork
from neurdicom.catalog.moves import NaturalSeries
from neurdicom.dicom.query.attributes import Level


@dataclass(frozen=True, slots=True)
class SeriesPart:
    """Origin with the natural place of its files, and the place where they lie.

    Attributes
    ----------
    origin : Document
        Its document.
    natural : NaturalSeries
        Natural path of its files.
    patient, study : str
        Id of the patient and UID of the study where they lie.
    owner : str
        Id of the patient in the key of that study.
    via : tuple of str
        Ids of the edits that placed them there.
    """

    origin: Document
    natural: NaturalSeries
    patient: str
    study: str
    owner: str
    via: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """`_id` of the origin."""
        return str(self.origin["_id"])

    @property
    def series_row(self) -> str:
        """`_id` of the series where they lie."""
        return str(self.origin["series"])

    @property
    def study_row(self) -> str:
        """`_id` of the study where they lie."""
        return str(self.origin["study"])


async def parts_of(unit: UnitOfWork, origins: Iterable[Document]) -> list[SeriesPart]:
    """Read parts from origins, in the order of their earliest files.

    Parameters
    ----------
    unit : UnitOfWork
        The running write, or a snapshot to read.
    origins : iterable of Document
        Their documents.
    """
    found = sorted(origins, key=earliest)
    rows = {one["study"] for one in found}
    studies = {one["_id"]: one for one in await unit.among("studies", rows, "uid", "patient")}
    parts = []
    for one in found:
        study, moved = studies.get(one["study"]), MovedOrigin.from_origin(one)
        if study is None:  # deleted by an interrupted write
            continue
        series = str(orjson.loads(one["attributes"])["series_instance_uid"])
        patient, uid = study["patient"], study["uid"]
        natural = NaturalSeries(patient, uid, series) if moved is None else NaturalSeries(*moved.natural, series=series)
        owner = moved.owner if moved else patient
        parts.append(SeriesPart(one, natural, patient, uid, owner, moved.via if moved else ()))
    return parts


async def parts_below(unit: UnitOfWork, level: Level, rows: Sequence[str]) -> list[SeriesPart]:
    """List the parts of patients, studies or series, in the order of their earliest files.

    Parameters
    ----------
    unit : UnitOfWork
        The running write, or a snapshot to read.
    level : Level
        Level of the entities.
    rows : sequence of str
        Their `_id`s.
    """
    if level is Level.PATIENT:
        rows = [one["_id"] for one in await unit.all("studies", {"patient": {"$in": list(rows)}}, "_id")]
        level = Level.STUDY
    return await parts_of(unit, await unit.among("origins", rows, by=level.value))


async def parts_via(unit: UnitOfWork, edit: str) -> list[SeriesPart]:
    """List the parts that an edit has placed."""
    return await parts_of(unit, await unit.all("origins", {"moved.via": {"$in": [edit]}}))


async def whole(unit: UnitOfWork, parts: Iterable[SeriesPart]) -> list[SeriesPart]:
    """Complete some parts to all parts of their natural series, each of which lies in one series."""
    wanted = list(parts)
    naturals = {part.natural for part in wanted}
    rows = list(dict.fromkeys(part.series_row for part in wanted))
    return [part for part in await parts_below(unit, Level.SERIES, rows) if part.natural in naturals]


async def naturals_by_claims(unit: UnitOfWork, parts: Sequence[SeriesPart]) -> dict[str, NaturalSeries]:
    """Map the `_id`s of origins to their natural series by the present claims on their studies.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    parts : sequence of SeriesPart
        The parts, as they were before the claims changed.
    """
    claims = await load_claims(unit, {part.natural.study for part in parts})
    owners = {(study, claim.key): patient for study, of_study in claims.items() for claim, patient in of_study.items()}
    return {
        part.id: NaturalSeries(
            owners.get((part.natural.study, part.origin["claim"]), part.natural.patient),
            part.natural.study,
            part.natural.series,
        )
        for part in parts
    }
