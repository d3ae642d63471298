"""Form of the documents of labels, which `archive.labels` writes and the archive port's condition on labels reads.

A label of an entity is a document of the kind `label`. Its key is made of the level, a present or earlier key of the
entity, and the label, and it is found by terms for each of these.
"""

from typing import Final

from neurdicom.catalog.terms import Term, encode
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level

#: Kind of the documents of labels.
KIND: Final = "label"


def document_key(level: Level, entity: str, label: str) -> str:
    """Write the key of the document of an entity's label.

    Parameters
    ----------
    level : Level
        Level of the entity.
    entity : str
        Key of the entity, present or earlier.
    label : str
        The label.
    """
    return f"{level}/{entity}/{label}"


def entity_of(key: str) -> str:
    """Read the entity's key in the key of a document."""
    return key.partition("/")[2].rpartition("/")[0]


def terms_of(level: Level, entity: str, label: str) -> list[Term]:
    """Make the terms of the document of an entity's label.

    Parameters
    ----------
    level : Level
        Level of the entity.
    entity : str
        One of its keys.
    label : str
        The label.
    """
    return [("of", of_value(level, entity)), ("label", label_value(level, label)), ("level", level.value)]


def of_value(level: Level, entity: str) -> str:
    """Write the term by which labels of all entities with the UID of an entity are found; a patient by its id."""
    return f"{level}/{uid_of(entity)}"


def label_value(level: Level, label: str) -> str:
    """Write the term by which the entities of a level with a label are found."""
    return f"{level}/{label}"


def label_term(level: Level, label: str) -> str:
    """Encode the term by which an adapter finds the entities of a level with a label."""
    return encode(KIND, ("label", label_value(level, label)))
