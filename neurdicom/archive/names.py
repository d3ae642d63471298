"""Names of entities in documents, which keep keys: the ids that users see, and the keys that their references mean."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

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

_BY_LEVEL: Final = {
    level: [name for name, its in MEMBERS.items() if its is level]
    for level in (Level.STUDY, Level.SERIES, Level.INSTANCE)
}

#: Levels of the entities that conditions on documents name.
_LEVELS: Final = {
    **{level.value: (level,) for level in Level},
    "stored": (Level.INSTANCE, Level.SERIES, Level.STUDY),
}

#: From so many keys on, translating them would hold the event loop, so a thread does it.
_MANY: Final = 5000

#: Most studies of patients that are looked up for a condition.
_MOST_STUDIES: Final = 50

T = TypeVar("T")


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
        lists = (value for document in documents for value in document.values() if isinstance(value, list))
        run = asyncio.to_thread if sum(map(len, lists)) > _MANY else _at_once
        ids: dict[str, str] = {}
        for level, members in _BY_LEVEL.items():
            found = await run(_uids_in, documents, members)
            if found and (shared := await self._catalog.shared(level, found)):
                ids |= await self._catalog.ids(level, await run(_keys_of, documents, members, shared))
        return await run(_translate_all, documents, ids, uids)

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


async def _at_once(work: Callable[..., T], *arguments: Any) -> T:
    return work(*arguments)


def _keys_in(documents: Sequence[dict[str, Any]], members: Sequence[str]) -> Iterator[str]:
    """Yield the keys in some members of documents."""
    for document in documents:
        for name in members:
            value = document.get(name)
            yield from (key for key in (value if isinstance(value, list) else [value]) if key is not None)


def _uids_in(documents: Sequence[dict[str, Any]], members: Sequence[str]) -> set[str]:
    return set(map(uid_of, _keys_in(documents, members)))


def _keys_of(documents: Sequence[dict[str, Any]], members: Sequence[str], uids: Collection[str]) -> set[str]:
    return {key for key in _keys_in(documents, members) if uid_of(key) in uids}


def _translate_all(documents: Sequence[dict[str, Any]], ids: Mapping[str, str], uids: bool) -> list[dict[str, Any]]:
    """Translate the keys in documents; those without an id of their own are shown as UIDs."""
    return [_translated(document, ids, uids) for document in documents]


def _translated(document: dict[str, Any], ids: Mapping[str, str], uids: bool) -> dict[str, Any]:
    translated: dict[str, Any] = {}
    for name, value in document.items():
        level = MEMBERS.get(name)
        if level is None:
            translated[name] = value
        elif isinstance(value, list):
            own = [uid_of(key) for key in value]
            translated[name] = [ids.get(key, uid) for key, uid in zip(value, own, strict=True)] if ids else own
            if uids:
                translated[f"{level.value if name != 'stored' else name}_uids"] = own
        else:
            uid = None if value is None else uid_of(value)
            translated[name] = ids.get(value, uid)
            if uids:
                translated[f"{name}_uid"] = uid
    return translated
