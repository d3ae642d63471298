"""Storing instances: outcomes, groups, failures of the backends."""

import asyncio
import errno
from pathlib import Path

import pytest

from neurdicom.archive.ingest import commit
from neurdicom.archive.ingest.service import HELD_BYTES_IN_ALL
from neurdicom.blobs.base import Spool
from neurdicom.catalog.records import NewInstance
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Invalid, Malformed, NeurdicomError, NotDicom, Unavailable
from neurdicom.testing.faults import Fault
from tests.support.archive import archive
from tests.support.files import ROOT, dicom_file


def test_stored_replaced_duplicate(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            first, other = dicom_file(), dicom_file(PatientName="Other^Name")
            results = [await stored.add(file) for file in (first, first, other, first)]
            assert [result.status for result in results] == ["stored", "duplicate", "replaced", "replaced"]
            assert {(result.id, result.study, result.series) for result in results} == {
                (f"{ROOT}.1.1.1", f"{ROOT}.1", f"{ROOT}.1.1")
            }
            assert stored.files == [first]
            await stored.check()
            await stored.ingest.close()
            assert await stored.catalog.garbage() == {}

    asyncio.run(test())


@pytest.mark.parametrize(
    ("file", "error"),
    [
        (b"", NotDicom),
        (b"no DICOM at all", NotDicom),
        (dicom_file()[:450], Malformed),
        (dicom_file(StudyInstanceUID=None), Invalid),
        (dicom_file(SeriesInstanceUID="1~2"), Invalid),
    ],
)
def test_rejected(tmp_path: Path, file: bytes, error: type[NeurdicomError]) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            result = await stored.add(file, "name")
            assert (result.file, result.status, result.id) == ("name", "rejected", None)
            assert isinstance(result.error, error)
            assert result.to_api()["reason"] == str(result.error)
            assert stored.files == [] == stored.spools
            assert await stored.instances() == []

    asyncio.run(test())


def test_parallel_arrivals_share_transactions_and_keep_counts_exact(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            with Fault(stored.catalog, "store") as transactions:
                results = await asyncio.gather(
                    *(stored.add(dicom_file(number, series=number % 3, study=number % 2)) for number in range(60))
                )
            assert [result.status for result in results] == ["stored"] * 60
            assert transactions.count < 30
            for study in (0, 1):
                entity = await stored.catalog.get(Level.STUDY, f"{ROOT}.{study}")
                assert entity is not None
                assert (entity["series_count"], entity["images_count"]) == (3, 30)
            await stored.check()

    asyncio.run(test())


def test_races_for_one_instance_leave_one_whole_file(tmp_path: Path) -> None:
    async def test() -> None:
        files = [dicom_file(PatientName=f"Name^{number % 5}") for number in range(40)]
        async with archive(tmp_path) as stored:
            results = await asyncio.gather(*(stored.add(file) for file in files))
            statuses = [result.status for result in results]
            assert statuses.count("stored") == 1
            assert set(statuses) <= {"stored", "replaced", "duplicate"}
            assert len(stored.files) == 1
            assert stored.files[0] in files
            await stored.check()

    asyncio.run(test())


def test_a_bad_arrival_takes_no_other_along(tmp_path: Path) -> None:
    """The catalog refuses a whole group for one of its arrivals."""

    def poisoned(arrivals: list[NewInstance], *_: object) -> bool:
        return any(arrival.instance.endswith(".7") for arrival in arrivals)

    async def test() -> None:
        async with archive(tmp_path) as stored:
            with Fault(stored.catalog, "store", ValueError("a value that no column takes"), calls=poisoned):
                results = await asyncio.gather(*(stored.add(dicom_file(number)) for number in range(1, 11)))
            assert [result.status for result in results] == ["stored"] * 6 + ["rejected"] + ["stored"] * 3
            assert "internal error" in str(results[6].error)
            assert len(stored.files) == 9
            await stored.check()

    asyncio.run(test())


def test_a_catalog_that_is_down(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            with Fault(stored.catalog, "store", Unavailable("no answer")):
                results = await asyncio.gather(*(stored.add(dicom_file(number)) for number in range(5)))
            assert all(isinstance(result.error, Unavailable) for result in results)
            # Nobody knows what the catalog did: the files stay until it can say.
            assert len(stored.files) == 5
            assert [(await stored.add(dicom_file(number))).status for number in range(5)] == ["stored"] * 5
        async with archive(tmp_path) as stored:
            assert len(await stored.instances()) == 5
            await stored.check()

    asyncio.run(test())


def test_transactions_of_unknown_outcome_are_settled_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "UNKNOWN_SECONDS", 0.0)

    async def test() -> None:
        async with archive(tmp_path) as stored:
            with Fault(stored.catalog, "store", Unavailable("no answer")):
                await stored.add(dicom_file(1))
            with Fault(stored.catalog, "store", Unavailable("the answer is lost"), after=True):
                await stored.add(dicom_file(2))
            assert len(stored.files) == 2
            await stored.add(dicom_file(3))
            await stored.ingest.close()
            assert await stored.instances() == [f"{ROOT}.1.1.2", f"{ROOT}.1.1.3"]
            await stored.check()

    asyncio.run(test())


def test_a_lost_answer_that_was_no_failure(tmp_path: Path) -> None:
    """The transaction was committed, though the adapter raised: nothing is entered twice, nothing deleted."""

    async def test() -> None:
        async with archive(tmp_path) as stored:
            with Fault(stored.catalog, "store", RuntimeError("after the commit"), after=True):
                results = await asyncio.gather(*(stored.add(dicom_file(number)) for number in range(5)))
            assert [result.status for result in results] == ["stored"] * 5
            await stored.check()

    asyncio.run(test())


def test_a_lost_answer_about_a_file_that_does_not_say_whose_it_is(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            named = await stored.add(dicom_file(1))
            with Fault(stored.catalog, "store", RuntimeError("after the commit"), after=True):
                result = await stored.add(dicom_file(2, PatientID=None))
            assert result.status == "stored"
            assert result.place is not None and named.place is not None
            assert (result.place.patient, result.place.series) == (named.place.patient, named.place.series)
            assert (await stored.catalog.get(Level.INSTANCE, result.place.instance)) is not None

    asyncio.run(test())


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def test() -> None:
        async with archive(tmp_path) as stored:
            for verb in ("write", "sync"):
                with monkeypatch.context() as patch:
                    patch.setattr(Spool, verb, full)
                    result = await stored.add(dicom_file())
                assert isinstance(result.error, Unavailable)
                assert "No space left" in str(result.error)
                assert stored.files == [] == stored.spools
            assert (await stored.add(dicom_file())).status == "stored"

    asyncio.run(test())


def test_a_sender_that_goes_away_while_its_file_is_committed(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            with Fault(stored.catalog, "store", delay=0.05) as fault:
                adding = asyncio.create_task(stored.add(dicom_file(1)))
                while not fault.count:  # its file is in place then
                    await asyncio.sleep(0.001)
                adding.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await adding
                assert (await stored.add(dicom_file(2))).status == "stored"
            await stored.ingest.close()
            await stored.check()

    asyncio.run(test())


def test_an_aborted_arrival_leaves_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            arrival = stored.ingest.receive("large")
            for _ in range(40):
                await arrival.write(bytes(65536))
            assert len(stored.spools) == 1
            await arrival.abort()
            await arrival.abort()
            assert stored.spools == []
            assert stored.ingest.held == 0

    asyncio.run(test())


def test_many_open_arrivals_hold_little_memory(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            arrivals = [stored.ingest.receive(str(number)) for number in range(100)]
            for _ in range(9):
                for arrival in arrivals:
                    await arrival.write(bytes(100_000))
            assert stored.ingest.held <= HELD_BYTES_IN_ALL + 100_000
            for arrival in arrivals:
                await arrival.abort()
            assert stored.ingest.held == 0
            assert stored.spools == []

    asyncio.run(test())
