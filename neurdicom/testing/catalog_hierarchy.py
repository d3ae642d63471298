"""Paths of the entities in the model of the archive port, and the keys, ids and conflicts that follow from them."""

from collections.abc import Collection, Sequence
from itertools import combinations

from neurdicom.catalog.outcomes import CONFLICT_LEVELS, UidConflict, ambiguous
from neurdicom.catalog.records import NewInstance
from neurdicom.dicom.identity import earlier_keys, is_key, uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.testing.catalog_placement import Path, PlacementModel, key_of_path, level_of, up_to


class HierarchyModel(PlacementModel):
    """Model of the entities of a catalog, by where their files lie."""

    def paths(self, level: Level) -> list[Path]:
        """List the entities of a level, in the order of the arrival of their earliest instance.

        Parameters
        ----------
        level : Level
            The level.

        Returns
        -------
        list of tuple of str
        """
        return list(dict.fromkeys(up_to(level, path) for path in self.instances))

    def children(self, path: Path, level: Level) -> list[Path]:
        """List the entities of a level below another, or itself, in the order of their arrival.

        Parameters
        ----------
        path : tuple of str
            Path of the entity.
        level : Level
            Level of the entities to list.

        Returns
        -------
        list of tuple of str
        """
        return [each for each in self.paths(level) if each[: len(path)] == path]

    def arrivals(self, path: Path) -> list[NewInstance]:
        """List the instances of an entity in the order of their arrival.

        Parameters
        ----------
        path : tuple of str
            Path of the entity.

        Returns
        -------
        list of NewInstance
        """
        return [self.instances[each] for each in self.children(path, Level.INSTANCE)]

    # -- keys and ids ----------------------------------------------------------------------------------------

    def named(self, level: Level, uid: str) -> list[Path]:
        """List the entities of a level, below the patient, that have a UID, the earliest first.

        Parameters
        ----------
        level : Level
            The level.
        uid : str
            The UID.

        Returns
        -------
        list of tuple of str
        """
        return [path for path in self.paths(level) if path[-1] == uid]

    def shared(self, level: Level, uids: Collection[str]) -> set[str]:
        """Select the UIDs that name several entities, as `Catalog.shared`."""
        return {uid for uid in uids if len(self.named(level, uid)) > 1}

    def id_at(self, path: Path) -> str:
        """Return the id that users see of the entity at a path.

        Parameters
        ----------
        path : tuple of str
            Path of the entity.

        Returns
        -------
        str
            The UID where one entity of the level has it, otherwise the key; for a patient its key.
        """
        key, level = self.key_at(path), level_of(path)
        return key if level is Level.PATIENT or self.shared(level, [path[-1]]) else uid_of(key)

    def ids(self, level: Level, keys: Collection[str]) -> dict[str, str]:
        """Map keys to the ids that users see, as `Catalog.ids`."""
        if level is Level.PATIENT:
            return {key: key for key in keys}
        shared = self.shared(level, {uid_of(key) for key in keys})
        return {key: (self.keys(level, key) or (key,))[0] if uid_of(key) in shared else uid_of(key) for key in keys}

    def keys_at(self, path: Path) -> tuple[str, ...]:
        """List the keys that lead to the entity at a path.

        To a patient lead the keys of the claims on its studies that belong to it, but for ids of patients that are
        there themselves.

        Parameters
        ----------
        path : tuple of str
            Path of the entity.

        Returns
        -------
        tuple of str
            Its own first, then those of other parts that moves have put there, then those of before.
        """
        parts = self.parts(path)
        earlier: list[str] = []
        if level_of(path) is Level.PATIENT:
            there = {each[0] for each in self.paths(Level.PATIENT)}
            for _, study in self.children(path, Level.STUDY):
                owned = self.claims.get(study, {}).items()
                earlier += [claim.key for claim, owner in owned if owner == path[0] and claim.key not in there]
        else:
            earlier = [key for part in parts for key in self.keys_of_part(part)]
        return tuple(dict.fromkeys([*map(key_of_path, parts), *earlier]))

    def keys_of_part(self, part: Path) -> tuple[str, ...]:
        """List the keys of an entity by one of its natural paths: the present one, then earlier ones.

        Parameters
        ----------
        part : tuple of str
            The natural path.

        Returns
        -------
        tuple of str
        """
        patient, *uids = part
        if not uids:
            return (patient,)
        claims = [claim for claim, owner in self.claims.get(uids[0], {}).items() if owner == patient]
        return (key_of_path(part), *earlier_keys(uids[-1], claims, *uids[:-1]))

    def referred(self, level: Level, reference: str) -> list[Path]:
        """List the entities that a key, a key of before, or a UID names.

        Parameters
        ----------
        level : Level
            Level of the entities.
        reference : str
            The reference.

        Returns
        -------
        list of tuple of str
            In the order of their arrival.
        """
        if level is Level.PATIENT or is_key(reference):
            return [path for path in self.paths(level) if reference in self.keys_at(path)]
        return self.named(level, reference)

    def one(self, level: Level, reference: str) -> Path | None:
        """Look up the entity that a reference names.

        Parameters
        ----------
        level : Level
            Level of the entity.
        reference : str
            The reference.

        Returns
        -------
        tuple of str or None

        Raises
        ------
        Ambiguous
            It names several.
        """
        found = self.referred(level, reference)
        if len(found) > 1:
            raise ambiguous(level, reference, [self.id_at(path) for path in found])
        return found[0] if found else None

    def keys(self, level: Level, reference: str) -> tuple[str, ...]:
        """List the keys of the entity that a reference names, as `Catalog.keys`."""
        path = self.one(level, reference)
        return self.keys_at(path) if path else ()

    # -- conflicts -------------------------------------------------------------------------------------------

    def conflicts(self) -> list[UidConflict]:
        """List the UIDs that name several entities, each where the paths part, as `Catalog.conflicts`."""
        found = []
        for kind, level in CONFLICT_LEVELS.items():
            for uid in sorted({path[-1] for path in self.paths(level)}):
                paths = self.named(level, uid)
                if any(_part_here(*pair) for pair in combinations(paths, 2)):
                    since = self.arrivals(paths[1])[0].received
                    found.append(UidConflict(kind, uid, tuple(self.id_at(path) for path in paths), since))
        return found


def _part_here(one: Path, other: Path) -> bool:
    """Tell whether two entities of one UID have no parents that are two entities of one UID."""
    return not any(one[at] == other[at] and one[:at] != other[:at] for at in range(1, len(one) - 1))


def new_below(paths: Sequence[Path], path: Path) -> tuple[Level, list[Path]] | None:
    """Find the highest entity above an instance, or itself, that is new and whose UID is elsewhere.

    Parameters
    ----------
    paths : sequence of tuple of str
        Paths of the instances that are there.
    path : tuple of str
        Path of the instance that arrives.

    Returns
    -------
    tuple of Level and list of tuple of str, or None
        Its level, and the entities that have its UID.
    """
    for level in CONFLICT_LEVELS.values():
        there = list(dict.fromkeys(up_to(level, each) for each in paths))
        wanted = up_to(level, path)
        others = [each for each in there if each[-1] == wanted[-1]]
        if others and wanted not in there:
            return level, others
    return None
