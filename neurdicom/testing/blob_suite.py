"""The base of the contract suite of the blob store port: its hooks, and short forms of the verbs."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from neurdicom.blobs.base import BlobStore, Piece
from neurdicom.dicom.header import BlobRef
from neurdicom.errors import NotFound

MIB = 1024 * 1024


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


class BlobSuite(ABC):
    """Base of the tests. The hooks access the backend without the adapter."""

    @abstractmethod
    async def open_store(self) -> BlobStore:
        """Open a store; further calls in one test open the same data again.

        Returns
        -------
        BlobStore
        """

    @abstractmethod
    async def backend_blobs(self, store: BlobStore) -> dict[str, bytes]:
        """Read all blobs from the backend, without the adapter.

        Parameters
        ----------
        store : BlobStore
            The open store.

        Returns
        -------
        dict of str to bytes
            Key to content.
        """

    @abstractmethod
    async def lose_blob(self, store: BlobStore, key: str) -> None:
        """Delete a blob from the backend, without the adapter.

        Parameters
        ----------
        store : BlobStore
            The open store.
        key : str
            Key of the blob.
        """

    @asynccontextmanager
    async def store(self) -> AsyncIterator[BlobStore]:
        """Open a store, and close it at the end of the context.

        Yields
        ------
        BlobStore
        """
        store = await self.open_store()
        try:
            yield store
        finally:
            await store.close()
