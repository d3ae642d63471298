"""Folding of the search keys of person names anew, in documents that were written by earlier rules."""

from typing import Any

from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import UpdateOne

from neurdicom.catalog.projection import words_of
from neurdicom.dicom.query.attributes import ATTRIBUTES, Kind
from neurdicom.dicom.query.folding import name_key, word_key

_BATCH = 1000
_FOLDS = {
    name: fold
    for attribute in ATTRIBUTES
    if attribute.kind is Kind.NAME
    for name, fold in (
        (f"keys_{attribute.field}", name_key),
        (f"keys_{words_of(attribute.field)}", word_key),
    )
}


async def fold_keys(database: "AsyncIOMotorDatabase[dict[str, Any]]") -> None:
    """Fold the search keys of person names of all patients, studies and series anew; may be repeated."""
    for name in ("patients", "studies", "series"):
        updates: list[UpdateOne] = []
        async for one in database[name].find({}, dict.fromkeys(_FOLDS, 1)):
            changed = {
                member: keys
                for member, fold in _FOLDS.items()
                if member in one
                and (keys := [key for key in dict.fromkeys(map(fold, one[member])) if key]) != one[member]
            }
            if changed:
                updates.append(UpdateOne({"_id": one["_id"]}, {"$set": changed}))
            if len(updates) == _BATCH:
                await database[name].bulk_write(updates, ordered=False)
                updates = []
        if updates:
            await database[name].bulk_write(updates, ordered=False)
