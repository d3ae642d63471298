"""How a stored file is named: by the catalog, which knows of it, and by the blob store, which holds it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BlobRef:
    """A stored blob: its key in the store, its size in bytes and the SHA-256 of its bytes in hexadecimal."""

    key: str
    size: int
    sha256: str
