"""Verbs on a blob store for its contract suites."""

from neurdicom.blobs.base import BlobStore, Piece
from neurdicom.dicom.header import BlobRef
from neurdicom.errors import NotFound


def put(store: BlobStore, *pieces: Piece) -> BlobRef:
    """Store bytes as a blob. Blocks.

    Parameters
    ----------
    store : BlobStore
        The store.
    *pieces : bytes or memoryview
        Parts of the blob, written one after the other.

    Returns
    -------
    BlobRef
        The committed blob.
    """
    with store.new_spool() as spool:
        for piece in pieces:
            spool.write(piece)
        return store.commit(spool)


async def get(store: BlobStore, key: str, start: int = 0, length: int | None = None) -> bytes:
    """Read a part of a blob into memory.

    Parameters
    ----------
    store : BlobStore
        The store.
    key : str
        Key of the blob.
    start : int
        Offset of the first byte.
    length : int, optional
        Number of bytes; by default up to the end.

    Returns
    -------
    bytes

    Raises
    ------
    NotFound
        There is no blob with this key.
    """
    return b"".join([piece async for piece in store.read(key, start, length)])


async def walk(store: BlobStore) -> list[BlobRef]:
    """List all blobs of a store.

    Parameters
    ----------
    store : BlobStore
        The store.

    Returns
    -------
    list of BlobRef
        In the order of keys.
    """
    return [ref async for ref in store.walk()]


async def is_there(store: BlobStore, key: str) -> bool:
    """Tell whether a blob can be read.

    Parameters
    ----------
    store : BlobStore
        The store.
    key : str
        Key of the blob.

    Returns
    -------
    bool
    """
    try:
        await get(store, key)
    except NotFound:
        return False
    return True
