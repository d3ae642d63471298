"""Names of entities in documents, which keep keys: the ids that users see, and the keys that their references mean."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.terms import TermCondition
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Query
from neurdicom.errors import Ambiguous

#: Members of a document that name entities, alone or in a list, by the level of these.
MEMBERS: Final = {
    "instance": Level.INSTANCE,
    "series": Level.SERIES,
    "study": Level.STUDY,
    "instances": Level.INSTANCE,
    "studies": Level.STUDY,
    "stored": Level.INSTANCE,
}

#: Levels of the entities that conditions on documents name.
_LEVELS: Final = {
    **{level.value: (level,) for level in Level},
    "stored": (Level.INSTANCE, Level.SERIES, Level.STUDY),
}

#: Most studies of patients that are looked up for a condition.
_MOST_STUDIES: Final = 50


class EntityNames:
    """Translation between the keys in documents and the ids that users see and give."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def ids(self, level: Level, keys: Iterable[str]) -> list[str]:
        """List the ids that users see for keys, in their order."""
        keys = list(keys)
        shown = await self._catalog.ids(level, set(keys)) if keys else {}
        return [shown.get(key, key) for key in keys]

    async def shown(self, documents: Sequence[dict[str, Any]], *, uids: bool = True) -> list[dict[str, Any]]:
        """Copy documents with ids in place of the keys in their `MEMBERS`; a whole page costs one lookup a level.

        Parameters
        ----------
        documents : sequence of dict
            Descriptions of results, of a job's items and the like; members of other names stay as they are.
        uids : bool
            Whether the UIDs stand beside the ids: `series_uid` beside `series`, `stored_uids` beside `stored`.

        Returns
        -------
        list of dict
        """
        wanted: dict[Level, set[str]] = {}
        for document in documents:
            for name in MEMBERS.keys() & document.keys():
                wanted.setdefault(MEMBERS[name], set()).update(_named(document[name]))
        ids = {level: await self._catalog.ids(level, keys) for level, keys in wanted.items() if keys}
        return [_translated(document, ids, uids=uids) for document in documents]

    async def keys(self, level: Level, reference: str) -> list[str]:
        """List the keys that a filter by a reference means in documents, those of before included.

        Parameters
        ----------
        level : Level
            Level of the entity.
        reference : str
            A key, which means one entity; a UID, which means all that have it; for a patient its id.

        Returns
        -------
        list of str
            The reference itself where nothing has it.
        """
        try:
            found = await self._catalog.keys(level, reference)
        except Ambiguous as error:
            found = tuple([key for one in error.candidates for key in await self._catalog.keys(level, one)])
        return list(dict.fromkeys(found)) or [reference]

    async def by_key(self, conditions: Sequence[TermCondition]) -> list[TermCondition]:
        """Translate conditions on the entities of documents from references to keys.

        Conditions on a patient become conditions on its studies, where these are few: a study may have gone to another
        patient since the document was written.
        """
        return [await self._by_key(condition) for condition in conditions]

    async def _by_key(self, condition: TermCondition) -> TermCondition:
        references = [str(value) for value in condition.values]
        if condition.name == Level.PATIENT.value and (studies := await self._studies(references)):
            return TermCondition(Level.STUDY.value, condition.op, tuple(studies))
        levels = _LEVELS.get(condition.name)
        if levels is None:
            return condition
        keys = [key for one in references for level in levels for key in await self.keys(level, one)]
        return TermCondition(condition.name, condition.op, tuple(dict.fromkeys(keys)))

    async def _studies(self, patients: Sequence[str]) -> list[str]:
        """List the keys of all studies of some patients; empty where there are none, or too many."""
        query = Query(
            Level.STUDY, (AnyOf(Level.PATIENT.value, tuple(patients)),), limit=_MOST_STUDIES + 1, counted=False
        )
        found = (await self._catalog.find(query)).items
        if len(found) > _MOST_STUDIES:
            return []
        return [key for study in found for key in await self.keys(Level.STUDY, study["key"])]

    async def patients_of(self, studies: Iterable[str]) -> dict[str, str]:
        """Map keys of studies to the ids of their patients now; studies that are gone are left out."""
        wanted = tuple(dict.fromkeys(studies))
        if not wanted:
            return {}
        query = Query(Level.STUDY, (AnyOf(Level.STUDY.value, wanted),), limit=None, counted=False)
        found = {study["key"]: study["patient"] for study in (await self._catalog.find(query)).items}
        for former in [each for each in wanted if each not in found]:  # of before its patient was known, or gone
            study = await self._catalog.get(Level.STUDY, former)
            if study is not None:
                found[former] = study["patient"]
        return {study: found[study] for study in wanted if study in found}


def _named(value: Any) -> list[str]:
    """List the entities that a member names."""
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]


def _translated(document: dict[str, Any], ids: dict[Level, dict[str, str]], *, uids: bool) -> dict[str, Any]:
    translated: dict[str, Any] = {}
    for name, value in document.items():
        level = MEMBERS.get(name)
        if level is None:
            translated[name] = value
            continue
        known = ids.get(level, {})
        if isinstance(value, list):
            translated[name] = [known.get(one, one) if isinstance(one, str) else one for one in value]
            if uids:
                translated[f"{level.value if name != 'stored' else name}_uids"] = [uid_of(str(one)) for one in value]
        else:
            translated[name] = known.get(value, value)
            if uids:
                translated[f"{name}_uid"] = uid_of(value) if isinstance(value, str) else None
    return translated
