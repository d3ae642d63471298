"""Keys of the entities that documents of earlier versions name by their UIDs, for the migration of these documents."""

from collections.abc import Iterable
from typing import Final

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Entity
from neurdicom.dicom.identity import Place, is_key, uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Query

#: Most UIDs in one query.
_AT_ONCE: Final = 500

#: Most findings that are kept.
_MOST_FINDINGS: Final = 1000

#: A SOP Instance UID, and the SHA-256 of the file where it is known.
File = tuple[str, str | None]


class KeyFinder:
    """Finder of keys by UIDs; of several entities with one UID, the one with the recorded bytes, or else the earliest.

    UIDs that nothing has are left out of its answers, and so are keys, which need no migration.

    Parameters
    ----------
    catalog : Catalog
        Its entities have keys already.

    Attributes
    ----------
    findings : list of str
        Sentences about UIDs of which it can't be told which entity was meant.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._named: set[tuple[Level, str]] = set()
        self.findings: list[str] = []

    async def places(self, files: Iterable[File]) -> dict[File, Place]:
        """Find the places of instances.

        Parameters
        ----------
        files : iterable of (str, str or None)
            SOP Instance UIDs, each with the SHA-256 of the file; None where it is not known.
        """
        wanted = list(dict.fromkeys(files))
        known = await self._entities(Level.INSTANCE, (uid for uid, _ in wanted))
        places: dict[File, Place] = {}
        for uid, digest in wanted:
            if (entities := known.get(uid)) is None:
                continue
            same = [entity for entity in entities if digest is not None and entity["sha256"] == digest]
            chosen = min(same or entities, key=lambda entity: str(entity["received"]))
            if len(same) != 1 and len(entities) > 1:
                self._note(Level.INSTANCE, uid, len(entities), chosen["key"])
            above = uid_of(chosen["study"]), uid_of(chosen["series"])
            places[uid, digest] = Place.of(chosen["patient"], *above, uid)
        return places

    async def keys(self, level: Level, uids: Iterable[str]) -> dict[str, str]:
        """Find the keys of studies, series or instances, by UID.

        Parameters
        ----------
        level : Level
            Level of the entities.
        uids : iterable of str
            UIDs.
        """
        if level is Level.INSTANCE:
            places = await self.places((uid, None) for uid in uids)
            return {uid: place.instance for (uid, _), place in places.items()}
        keys: dict[str, str] = {}
        for uid, entities in (await self._entities(level, uids)).items():
            keys[uid] = entities[0]["key"]
            if len(entities) > 1:
                keys[uid] = await self._earliest(level, [entity["key"] for entity in entities])
                self._note(level, uid, len(entities), keys[uid])
        return keys

    async def _entities(self, level: Level, uids: Iterable[str]) -> dict[str, list[Entity]]:
        wanted = sorted({uid for uid in uids if uid and not is_key(uid)})
        found: dict[str, list[Entity]] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            condition = AnyOf(level.value, tuple(wanted[start : start + _AT_ONCE]))
            for entity in (await self._catalog.find(Query(level, (condition,), limit=None, counted=False))).items:
                found.setdefault(uid_of(entity["key"]), []).append(entity)
        return found

    async def _earliest(self, level: Level, keys: list[str]) -> str:
        """Choose the entity whose first instance arrived before those of the others."""
        samples = await self._catalog.samples(level, keys)
        instances = {key: await self._catalog.get(Level.INSTANCE, one.instance) for key, one in samples.items()}
        arrived = {key: str(instance["received"]) for key, instance in instances.items() if instance is not None}
        return min(keys, key=lambda key: (key not in arrived, arrived.get(key, "")))

    def _note(self, level: Level, uid: str, count: int, key: str) -> None:
        if (level, uid) in self._named or len(self.findings) == _MOST_FINDINGS:
            return
        self._named.add((level, uid))
        self.findings.append(
            f"the {level} {uid} is there {count} times, and which one results, jobs and rules of before were of can't "
            f"be told: they are taken to be of {key}, the earliest"
        )
