"""Contract suite of the blob store port: digests of what is there, and the restoring of what was lost."""

import asyncio
import contextlib
import os

from neurdicom.blobs.base import BlobDigest
from neurdicom.errors import NotFound
from neurdicom.testing.blob_suite import MIB, BlobSuite, get, put, walk


class BlobIntegrityContract(BlobSuite):
    """Tests of the verbs that find damage, and repair it."""

    def test_the_size_and_the_digest_are_those_of_the_bytes_that_are_there(self) -> None:
        async def test() -> None:
            data = os.urandom(3 * MIB // 2)
            async with self.store() as store:
                ref = put(store, data)
                read: list[int] = []
                assert await store.size(ref.key) == len(data)
                for from_disk in (False, True):
                    digest = await store.digest(ref.key, read.append, from_disk=from_disk)
                    assert digest == BlobDigest(ref.size, ref.sha256)
                assert sum(read) == 2 * len(data)
                await self.lose_blob(store, ref.key)
                for look in (store.size(ref.key), store.digest(ref.key), store.size("unknown")):
                    try:
                        await look
                    except NotFound:
                        continue
                    raise AssertionError("there is a size of a blob that is lost")

        asyncio.run(test())

    def test_a_digest_is_stopped_by_its_pace(self) -> None:
        class StopReading(Exception):
            pass

        def stop(size: int) -> None:
            raise StopReading

        async def test() -> None:
            async with self.store() as store:
                ref = put(store, b"some")
                try:
                    await store.digest(ref.key, stop)
                except StopReading:
                    return
                raise AssertionError("not stopped")

        asyncio.run(test())

    def test_a_lost_blob_is_restored_for_good(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                ref, other = put(store, b"as it was"), put(store, b"other")
                await self.lose_blob(store, ref.key)
                with store.new_spool() as spool:
                    spool.write(b"as it was")
                    store.restore(ref.key, spool)
                assert await get(store, ref.key) == b"as it was"
                assert await self.backend_blobs(store) == {ref.key: b"as it was", other.key: b"other"}
            async with self.store() as store:
                assert await walk(store) == [ref, other]
                assert list(store.spool_folder.iterdir()) == []

        asyncio.run(test())

    def test_nothing_is_restored_where_no_blob_can_be(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                for key in ("", "unknown", "../../etc/passwd"):
                    with store.new_spool() as spool:
                        spool.write(b"x")
                        with contextlib.suppress(NotFound):
                            store.restore(key, spool)
                            raise AssertionError(f"restored as {key!r}")
                assert await self.backend_blobs(store) == {}

        asyncio.run(test())
