"""Contract suite of the blob store port: blobs that are set aside."""

import asyncio

from neurdicom.errors import NotFound
from neurdicom.testing.blob_suite import BlobSuite, get, is_there, put, walk

PLACE = "trash/0123abc"


class AsideContract(BlobSuite):
    """Tests of moving blobs aside and back."""

    def test_blobs_that_are_set_aside_are_in_no_list_and_come_back(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                refs = [put(store, b"%d" % number) for number in range(4)]
                keys = [ref.key for ref in refs]
                await store.set_aside(PLACE, keys[:3])
                assert await walk(store) == [refs[3]]
                assert await store.recent() == [refs[3]]
                assert not await is_there(store, keys[0])
                assert await store.aside(PLACE) == refs[:3]
                assert await store.places() == [PLACE]
                assert (await store.path_aside(PLACE, keys[1])).read_bytes() == b"1"
                await store.bring_back(PLACE, keys[:2])
                assert await get(store, keys[1]) == b"1"
                assert await store.aside(PLACE) == refs[:3], "until they are released"
                await store.release(PLACE)
                assert await store.aside(PLACE) == [refs[2]], "which has no other place"
                await store.bring_back(PLACE, keys)
                await store.release(PLACE)
                assert await walk(store) == refs
                assert await store.places() == []

        asyncio.run(test())

    def test_a_move_that_was_done_is_done_again_without_harm(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                ref = put(store, b"x")
                await store.set_aside(PLACE, [ref.key])
                await store.set_aside(PLACE, [ref.key, "no/such-key", "../../etc/passwd"])
                assert await store.aside(PLACE) == [ref]
            async with self.store() as store:  # as after a crash
                assert await store.aside(PLACE) == [ref]
                assert await walk(store) == []
                await store.bring_back(PLACE, [ref.key])
                await store.bring_back(PLACE, [ref.key])
                assert await get(store, ref.key) == b"x"
                await store.set_aside(PLACE, [ref.key])  # deleted again before it was released
                assert (await walk(store), await store.aside(PLACE)) == ([], [ref])
                await store.bring_back(PLACE, [ref.key])
                await store.release(PLACE)
                await store.release(PLACE)
                assert (await walk(store), await store.aside(PLACE)) == ([ref], [])

        asyncio.run(test())

    def test_a_damaged_blob_is_put_back_at_its_place(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                ref = put(store, b"x")
                await store.set_aside(PLACE, [ref.key])
                with store.new_spool() as spool:
                    spool.write(b"x")
                    store.restore_aside(PLACE, ref.key, spool)
                assert await store.aside(PLACE) == [ref]
                assert (await store.path_aside(PLACE, ref.key)).read_bytes() == b"x"
                for key in ("no key", "../../../x"):
                    with store.new_spool() as spool:
                        try:
                            store.restore_aside(PLACE, key, spool)
                        except NotFound:
                            continue
                    raise AssertionError(f"{key!r} is taken for a key")

        asyncio.run(test())

    def test_a_blob_is_found_by_its_key(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                ref = put(store, b"x")
                assert await store.find(ref.key) == ref
                await store.set_aside(PLACE, [ref.key])
                try:
                    await store.find(ref.key)
                except NotFound:
                    return
                raise AssertionError("it is set aside, and found")

        asyncio.run(test())

    def test_places_are_discarded(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                refs = [put(store, b"%d" % number) for number in range(2)]
                await store.set_aside(PLACE, [refs[0].key])
                await store.set_aside("versions/1", [refs[1].key])
                await store.discard_aside(PLACE)
                await store.discard_aside(PLACE)
                assert await store.aside(PLACE) == []
                assert await store.places() == ["versions/1"]
                await store.bring_back(PLACE, [refs[0].key])
                assert not await is_there(store, refs[0].key)

        asyncio.run(test())

    def test_unknown_blobs_and_places_are_told(self) -> None:
        async def test() -> None:
            async with self.store() as store:
                ref = put(store, b"x")
                assert await store.aside(PLACE) == []
                for place, key in ((PLACE, ref.key), (PLACE, "../../../etc/passwd")):
                    try:
                        await store.path_aside(place, key)
                    except NotFound:
                        continue
                    raise AssertionError(f"{key!r} has a path in {place}")
                for place in ("objects/x", "trash/..", "trash/a/b", "trash/", "../x", ""):
                    try:
                        await store.set_aside(place, [ref.key])
                    except ValueError:
                        continue
                    raise AssertionError(f"{place!r} is taken for a place")
                assert await get(store, ref.key) == b"x"

        asyncio.run(test())
