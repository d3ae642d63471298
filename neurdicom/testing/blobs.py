"""Contract suite of the blob store port, which an adapter runs by a subclass of a few lines.

>>> class TestMine(BlobStoreContract):
...     async def open_store(self): ...
...     async def backend_blobs(self, store): ...
...     async def lose_blob(self, store, key): ...
"""

import asyncio
import contextlib
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

from neurdicom.errors import NotFound
from neurdicom.testing.blob_integrity import BlobIntegrityContract
from neurdicom.testing.blob_suite import MIB, get, is_there, put, walk
from neurdicom.testing.blobs_aside import AsideContract

__all__ = ["BlobStoreContract", "get", "is_there", "put", "walk"]


class BlobStoreContract(AsideContract, BlobIntegrityContract):
    """Contract suite of the blob store port. The hooks access the backend without the adapter."""

    def test_what_was_committed_can_be_read(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                ref = put(store, b"one ", b"", b"two")
                assert ref.size == 7
                assert ref.sha256 == hashlib.sha256(b"one two").hexdigest()
                assert await get(store, ref.key) == b"one two"
                assert (await store.path(ref.key)).read_bytes() == b"one two"
                assert await self.backend_blobs(store) == {ref.key: b"one two"}

        asyncio.run(test())

    def test_a_file_of_another_process_is_adopted(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                file = store.spool_folder / "from-elsewhere"
                file.write_bytes(b"whole")
                ref = store.adopt(file, 5, hashlib.sha256(b"whole").hexdigest())
                assert not file.exists()
                assert await get(store, ref.key) == b"whole"
                assert await walk(store) == [ref]
                assert put(store, b"").key > ref.key

        asyncio.run(test())

    def test_a_file_in_a_folder_of_the_spool_is_adopted_and_the_folder_goes_at_a_start(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                folder = store.spool_folder / "another-process"
                folder.mkdir()
                for name in ("adopted", "left"):
                    (folder / name).write_bytes(b"whole")
                ref = store.adopt(folder / "adopted", 5, hashlib.sha256(b"whole").hexdigest())
            async with self.store() as store:
                assert list(store.spool_folder.iterdir()) == []
                assert await get(store, ref.key) == b"whole"

        asyncio.run(test())

    def test_a_file_that_is_gone_is_not_adopted(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                with contextlib.suppress(OSError):
                    store.adopt(store.spool_folder / "gone", 1, hashlib.sha256(b"x").hexdigest())
                    raise AssertionError("adopted")
                assert await walk(store) == []

        asyncio.run(test())

    def test_an_empty_blob(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                ref = put(store)
                assert ref.size == 0
                assert await get(store, ref.key) == b""

        asyncio.run(test())

    def test_parts_of_a_large_blob(self) -> None:
        async def test() -> None:
            data = os.urandom(5 * MIB // 2)
            async with self.store() as store:
                ref = put(store, memoryview(data)[:MIB], memoryview(data)[MIB:])
                assert await get(store, ref.key) == data
                assert await get(store, ref.key, MIB + 7) == data[MIB + 7 :]
                assert await get(store, ref.key, 100, 2 * MIB) == data[100 : 100 + 2 * MIB]
                assert await get(store, ref.key, 3, 0) == b""
                assert await get(store, ref.key, ref.size) == b""
                assert await get(store, ref.key, ref.size - 2, 100) == data[-2:]
                sizes = [len(piece) async for piece in store.read(ref.key)]
                assert max(sizes) <= MIB

        asyncio.run(test())

    def test_the_same_bytes_twice_have_two_keys(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                first, second = put(store, b"x"), put(store, b"x")
                assert first.key != second.key
                await store.delete([first.key])
                assert await get(store, second.key) == b"x"

        asyncio.run(test())

    def test_a_spool_that_is_not_committed_leaves_nothing(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                with store.new_spool() as spool:
                    spool.write(b"gone")
                    path = spool.path
                assert not path.exists()
                spool.discard()
                assert await self.backend_blobs(store) == {}

        asyncio.run(test())

    def test_spools_of_a_dead_process_are_dropped(self) -> None:
        async def test() -> None:
            store = await self.open_store()
            spool = store.new_spool()
            spool.write(b"half")
            kept = put(store, b"whole")
            await store.close()
            async with self.store() as again:
                assert not spool.path.exists()
                assert await walk(again) == [kept]
            spool.discard()

        asyncio.run(test())

    def test_blobs_outlive_the_store(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                first = put(store, b"first")
            async with self.store() as store:
                second = put(store, b"second")
                assert first.key < second.key
                assert await walk(store) == [first, second]

        asyncio.run(test())

    def test_deleting(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                refs = [put(store, b"%d" % number) for number in range(4)]
                await store.delete([refs[0].key, refs[2].key])
                await store.delete([refs[0].key, "no/such-key", "../../etc/passwd", ""])
                assert await walk(store) == [refs[1], refs[3]]
                assert (await self.backend_blobs(store)).keys() == {refs[1].key, refs[3].key}
                assert not await is_there(store, refs[0].key)
                assert await is_there(store, refs[1].key)

        asyncio.run(test())

    def test_unknown_keys(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                lost = put(store, b"lost")
                await self.lose_blob(store, lost.key)
                for key in (lost.key, "", "unknown", "../../../../etc/passwd", "/etc/passwd", "a\0b"):
                    assert not await is_there(store, key)
                    try:
                        await store.path(key)
                    except NotFound:
                        continue
                    raise AssertionError(f"{key!r} has a path")

        asyncio.run(test())

    def test_a_blob_that_is_being_read_can_be_deleted(self) -> None:
        async def test() -> None:
            data = os.urandom(3 * MIB)
            async with self.store() as store:
                ref = put(store, data)
                pieces = []
                async for piece in store.read(ref.key):
                    pieces.append(piece)
                    await store.delete([ref.key])
                assert b"".join(pieces) == data

        asyncio.run(test())

    def test_parallel_commits(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                with ThreadPoolExecutor(8) as threads:
                    refs = list(threads.map(lambda number: put(store, b"%d" % number), range(100)))
                assert len({ref.key for ref in refs}) == 100
                last = put(store, b"last")
                assert max(ref.key for ref in refs) < last.key
                assert {ref.key for ref in await walk(store)} == {ref.key for ref in [*refs, last]}
                for number, ref in enumerate(refs):
                    assert await get(store, ref.key) == b"%d" % number

        asyncio.run(test())

    def test_recent_blobs_are_the_latest(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                assert await store.recent() == []
                refs = [put(store, b"%d" % number) for number in range(20)]
                recent = await store.recent()
                assert recent == refs[-len(recent) :]
                assert refs[-1] in recent

        asyncio.run(test())

    def test_closing_twice(self) -> None:
        async def test() -> None:
            store = await self.open_store()
            await store.close()
            await store.close()

        asyncio.run(test())
