"""UIDs that follow from what they name: the same result of the same run gets the same ones again."""

import uuid

_NAMESPACE = uuid.UUID("0b1c1d9a-6a5e-4a0e-9c57-2f0e8f6f5a11")


def uid_of(*parts: object) -> str:
    """A UID under the root 2.25 (PS3.5 B.2) of a name-based UUID of the parts."""
    # A length before each part: no two lists of parts give one name.
    name = "".join(f"{len(text)}:{text}" for text in map(str, parts))
    return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"
