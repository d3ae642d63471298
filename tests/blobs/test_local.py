"""The local blob store keeps the contract, and its folders are as the documentation says."""

import asyncio
import errno
import hashlib
import stat
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from neurdicom.blobs import local
from neurdicom.blobs.base import BlobStore
from neurdicom.blobs.local import LocalBlobStore
from neurdicom.dicom.header import BlobRef
from neurdicom.errors import NotFound, Unavailable
from neurdicom.testing.blob_suite import get, put, walk
from neurdicom.testing.blobs import BlobStoreContract


def files_of(root: Path) -> dict[str, bytes]:
    objects = root / "objects"
    return {str(path.relative_to(objects)): path.read_bytes() for path in objects.glob("*/*")}


class TestLocalBlobStore(BlobStoreContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.root = tmp_path / "new" / "blobs"

    async def open_store(self) -> BlobStore:
        store = LocalBlobStore(self.root, shard_files=8)
        await store.open()
        return store

    async def backend_blobs(self, store: BlobStore) -> dict[str, bytes]:
        return files_of(self.root)

    async def lose_blob(self, store: BlobStore, key: str) -> None:
        (self.root / "objects" / key).unlink()

    def test_a_restored_blob_is_read_only_and_its_folder_is_made_again(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                refs = [put(store, b"%d" % number) for number in range(9)]
                path = self.root / "objects" / refs[0].key
                for each in path.parent.iterdir():
                    each.unlink()
                path.parent.rmdir()
                with store.new_spool() as spool:
                    spool.write(b"0")
                    store.restore(refs[0].key, spool)
                assert stat.S_IMODE(path.stat().st_mode) == 0o400
                assert await get(store, refs[0].key) == b"0"

        asyncio.run(test())

    def test_a_store_that_is_away_says_nothing_of_its_blobs(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                ref = put(store, b"there")
                (self.root / "objects").rename(self.root / "away")
                with pytest.raises(Unavailable, match="is not there"):
                    await store.size(ref.key)
                (self.root / "away").rename(self.root / "objects")
                assert await store.size(ref.key) == 5
            with pytest.raises(Unavailable, match="no server ever stored"):
                await LocalBlobStore(self.root.parent / "nowhere").attach()

        asyncio.run(test())

    def test_a_store_is_read_and_repaired_beside_the_process_that_has_it_open(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                ref = put(store, b"as it was")
                beside = LocalBlobStore(self.root)
                with store.new_spool() as arriving:
                    arriving.write(b"arriving")
                    await beside.attach()
                    assert await walk(beside) == [ref]
                    await self.lose_blob(store, ref.key)
                    with beside.new_spool() as spool:
                        spool.write(b"as it was")
                        beside.restore(ref.key, spool)
                    await beside.close()
                    assert arriving.path.exists()
                assert await get(store, ref.key) == b"as it was"

        asyncio.run(test())

    def test_shards_fill_up_and_empty_ones_go(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                refs = [put(store, b"%d" % number) for number in range(8 * 4 + 1)]
                shards = sorted(path.name for path in (self.root / "objects").iterdir())
                assert shards == [f"{number:08d}" for number in range(5)]
                await store.delete([ref.key for ref in refs])
                # The shard in use and the one before stay: a commit may be on its way into them.
                assert sorted(path.name for path in (self.root / "objects").iterdir()) == shards[3:]

        asyncio.run(test())

    def test_blobs_are_read_only_also_those_of_before(self) -> None:
        def mode(ref: BlobRef) -> int:
            return stat.S_IMODE((self.root / "objects" / ref.key).stat().st_mode)

        async def test() -> None:
            async with self.store() as store:
                file = store.spool_folder / "adopted"
                file.write_bytes(b"adopted")
                digest = hashlib.sha256(b"adopted").hexdigest()
                refs = [put(store, b"committed"), await asyncio.to_thread(store.adopt, file, 7, digest)]
                assert [mode(ref) for ref in refs] == [0o400, 0o400]
                for look in (store.path(refs[0].key), walk(store), store.recent()):
                    (self.root / "objects" / refs[0].key).chmod(0o644)
                    await look
                    assert mode(refs[0]) == 0o400

        asyncio.run(test())

    def test_numbers_go_on_after_the_latest_was_deleted(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                refs = [put(store, b"%d" % number) for number in range(3)]
                await store.delete([refs[2].key])
            async with self.store() as store:
                assert put(store, b"next").key > refs[1].key

        asyncio.run(test())

    def test_foreign_files_are_left_alone(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                ref = put(store, b"ours")
                (self.root / "objects" / "00000000" / "notes.txt").write_text("theirs")
                (self.root / "objects" / "lost+found").mkdir()
                assert await walk(store) == [ref]
            async with self.store() as store:
                assert (self.root / "objects" / "00000000" / "notes.txt").exists()

        asyncio.run(test())

    def test_a_commit_that_fails_leaves_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(descriptor: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        async def test() -> None:
            async with self.store() as store:
                monkeypatch.setattr(local, "flush", fail)
                spool = store.new_spool()
                spool.write(b"x")
                with pytest.raises(OSError, match="Input/output"):
                    store.commit(spool)
                spool.discard()
                assert files_of(self.root) == {}
                assert list((self.root / "spool").iterdir()) == []

        asyncio.run(test())

    def test_every_commit_is_followed_by_a_flush(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Threads share flushes, but none returns before one that began after its rename has ended."""
        flushed: set[str] = set()

        def watch(descriptor: int) -> None:
            names = {path.name for path in (self.root / "objects").glob("*/*")}
            time.sleep(0.002)
            flushed.update(names)

        async def test() -> None:
            async with self.store() as store:
                monkeypatch.setattr(local, "flush", watch)

                def commit(number: int) -> bool:
                    return put(store, b"%d" % number).key.split("/")[1] in flushed

                with ThreadPoolExecutor(8) as threads:
                    assert all(threads.map(commit, range(200)))

        asyncio.run(test())

    def test_a_folder_that_cannot_be_used(self) -> None:
        async def test() -> None:
            self.root.parent.mkdir()
            self.root.write_text("a file")
            store = LocalBlobStore(self.root)
            with pytest.raises(Unavailable, match="can't be used"):
                await store.open()
            await store.close()

        asyncio.run(test())

    def test_a_cancelled_read_closes_its_file(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                ref = put(store, b"x" * 3_000_000)
                before = len([*Path("/proc/self/fd").iterdir()])
                for _ in range(20):
                    reading = asyncio.ensure_future(get(store, ref.key))
                    await asyncio.sleep(0)
                    reading.cancel()
                    await asyncio.wait([reading])
                deadline = time.monotonic() + 10  # for threads that were opening it just then
                while len([*Path("/proc/self/fd").iterdir()]) > before:
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.01)

        asyncio.run(test())


class LocalBlobs(RuleBasedStateMachine):
    """Random operations on a store and on a dict agree."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.model: dict[str, bytes] = {}

    @initialize()
    def begin(self) -> None:
        self.open()

    def open(self) -> None:
        self.store = LocalBlobStore(Path(self.folder.name), shard_files=3)
        self.loop.run_until_complete(self.store.open())

    @rule(pieces=st.lists(st.binary(max_size=40), max_size=4))
    def commit(self, pieces: list[bytes]) -> None:
        ref = put(self.store, *pieces)
        assert ref.key not in self.model
        assert all(key < ref.key for key in self.model)
        self.model[ref.key] = b"".join(pieces)

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        keys = data.draw(st.lists(st.sampled_from(sorted(self.model)), unique=True) if self.model else st.just([]))
        self.loop.run_until_complete(self.store.delete(keys))
        for key in keys:
            del self.model[key]

    @rule(data=st.data(), start=st.integers(0, 50), length=st.none() | st.integers(0, 50))
    def read(self, data: st.DataObject, start: int, length: int | None) -> None:
        if not self.model:
            return
        key = data.draw(st.sampled_from(sorted(self.model)))
        expected = self.model[key][start:][:length]
        assert self.loop.run_until_complete(get(self.store, key, start, length)) == expected

    @rule()
    def read_what_is_not_there(self) -> None:
        key = f"00000000/000000-{'0' * 64}-{'0' * 16}"
        with pytest.raises(NotFound):
            self.loop.run_until_complete(get(self.store, key))

    @rule()
    def reopen(self) -> None:
        self.loop.run_until_complete(self.store.close())
        self.open()

    @invariant()
    def the_same_is_there(self) -> None:
        if hasattr(self, "store"):
            refs = self.loop.run_until_complete(walk(self.store))
            assert [ref.key for ref in refs] == sorted(self.model)
            assert {ref.key: ref.size for ref in refs} == {key: len(data) for key, data in self.model.items()}

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.loop.run_until_complete(self.store.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.folder.cleanup()


TestLocalBlobs = LocalBlobs.TestCase
TestLocalBlobs.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
