"""Edits in the model of the archive port, by the natural paths that entities are made of."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from neurdicom.catalog.records import Edit
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Value
from neurdicom.testing.catalog_hierarchy import HierarchyModel
from neurdicom.testing.catalog_placement import Path, key_of_path


class HistoryModel(HierarchyModel):
    """Model of the edits of a catalog.

    Attributes
    ----------
    changes : dict of tuple to list
        Edits by the natural path of their entity, in their order; those of an entity go when it goes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.changes: dict[Path, list[Edit]] = {}

    def history(self, level: Level, entity: str) -> list[Edit]:
        """List all edits of an entity, as `Catalog.history`. Raises `Ambiguous`."""
        path = self.one(level, entity)
        parts = self.parts(path) if path else []
        found = [replace(edit, entity=key_of_path(part)) for part in parts for edit in self.changes.get(part, [])]
        return found if len(parts) < 2 else sorted(found, key=lambda edit: edit.time)

    def undo(self, level: Level, entity: str, edit_id: str) -> bool:
        """Remove an edit from an entity's history, as `Catalog.undo`. Raises `Ambiguous`."""
        path = self.one(level, entity)
        parts = [self.changes.get(part, []) for part in self.parts(path)] if path else []
        kept = next((edits for edits in parts if edit_id in {edit.id for edit in edits}), [])
        at = next((number for number, edit in enumerate(kept) if edit.id == edit_id), None)
        if at is None:
            return False
        undone = kept.pop(at)
        above = next((number for number in range(at, len(kept)) if kept[number].field == undone.field), None)
        if above is not None:
            kept[above] = replace(kept[above], before=undone.before)
        return True

    def restore_edits(self, edits: Sequence[Edit]) -> None:
        """Bring back the histories of entities that are there again, as `Catalog.restore_edits`."""
        by_entity = sorted(edits, key=lambda edit: (edit.level, edit.entity))
        for (level, entity), back in groupby(by_entity, key=lambda edit: (edit.level, edit.entity)):
            if path := self.one(level, entity):
                parts = self.parts(path)
                part = next((each for each in parts if entity in self.keys_of_part(each)), parts[0])
                self.changes[part] = self.joined(self.changes.get(part, []), list(back))

    def joined(self, there: list[Edit], back: list[Edit]) -> list[Edit]:
        """Insert each restored edit before the first present one of the same time or later; both keep their order."""
        joined = list(there)
        at = 0
        for edit in back:
            if edit.id not in {each.id for each in there}:
                at = next((n for n in range(at, len(joined)) if joined[n].time >= edit.time), len(joined))
                joined.insert(at, edit)
                at += 1
        shown: dict[str, Value] = {}
        for number, edit in enumerate(joined):
            joined[number] = replace(edit, before=shown.get(edit.field, edit.before))
            shown[edit.field] = edit.value
        return joined

    def edits_at(self, path: Path) -> list[Edit]:
        """List the effective edits of the entity at a path; of several of a field the last counts."""
        parts = self.parts(path)
        edits = [{edit.field: edit for edit in self.changes.get(part, [])} for part in parts]
        found = sorted((edit for last in edits for edit in last.values()), key=lambda edit: edit.field)
        if len(parts) > 1:
            found.sort(key=lambda edit: edit.time)
        return [replace(edit, entity=self.key_at(path)) for edit in found]
