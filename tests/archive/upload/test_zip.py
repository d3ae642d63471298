"""ZIPs of folder trees, as on a patient's CD, and as an attacker would make them."""

import asyncio
import random
import struct
import zipfile
from pathlib import Path

import pytest

from neurdicom.archive.upload import zip as zip_reader
from neurdicom.errors import Malformed, NeurdicomError, NotDicom, TooLarge
from tests.support.archive import archive
from tests.support.files import ROOT, dicom_file
from tests.support.uploads import FORM, file_part, form, zip_of


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize("piece", [100, 65536])
def test_a_patients_cd(tmp_path: Path, method: int, piece: int) -> None:
    body = zip_of(
        ("DICOMDIR", b"index" * 100),
        ("DICOM/", b""),
        ("DICOM/PA1/ST1/IM1", dicom_file(1)),
        ("DICOM/PA1/ST1/IM2", dicom_file(2)),
        ("VIEWER/view.exe", b"MZ" + bytes(500)),
        ("inner.zip", zip_of(("a", dicom_file(3)))),
        ("Снимки/空.dcm", dicom_file(1)),
        ("empty", b""),
        method=method,
    )

    async def test() -> None:
        async with archive(tmp_path) as stored:
            results = await stored.send(body, "application/zip", piece=piece)
            assert [(result.file, result.status) for result in results] == [
                ("DICOMDIR", "rejected"),
                ("DICOM/PA1/ST1/IM1", "stored"),
                ("DICOM/PA1/ST1/IM2", "stored"),
                ("VIEWER/view.exe", "rejected"),
                ("inner.zip", "rejected"),
                ("Снимки/空.dcm", "duplicate"),
                ("empty", "rejected"),
            ]
            assert "DICOMDIR" in str(results[0].error)
            assert await stored.instances() == [f"{ROOT}.1.1.1", f"{ROOT}.1.1.2"]
            await stored.check()

    asyncio.run(test())


def test_a_zip_in_a_form(tmp_path: Path) -> None:
    body = form(
        file_part("cd.zip", zip_of(("a/1", dicom_file(1)), ("a/2", dicom_file(2)))), file_part("3", dicom_file(3))
    )

    async def test() -> None:
        async with archive(tmp_path) as stored:
            results = await stored.send(body, FORM)
            assert [(r.file, r.status) for r in results] == [("a/1", "stored"), ("a/2", "stored"), ("3", "stored")]
            results = await stored.send(
                form(file_part("cd.zip", b"PK\x03\x04 broken"), file_part("3", dicom_file(3))), FORM
            )
            assert [(r.file, r.status) for r in results] == [("cd.zip", "rejected"), ("3", "duplicate")]
            assert isinstance(results[0].error, Malformed)
            await stored.check()

    asyncio.run(test())


@pytest.mark.parametrize("name", ["../../etc/cron.d/evil", "/etc/passwd", "C:\\windows\\x", "a\x00b", "..", "x" * 5000])
def test_names_are_never_paths(tmp_path: Path, name: str) -> None:
    async def test() -> None:
        async with archive(tmp_path / "data") as stored:
            [result] = await stored.send(zip_of((name, dicom_file(1))))
            assert result.status == "stored"
            assert result.file.isprintable()
            await stored.check()
        assert {path.name for path in tmp_path.iterdir()} == {"data"}

    asyncio.run(test())


@pytest.mark.parametrize(
    "body",
    [
        zip_of(),
        zip_of(("folder/", b"")),
        b"PK\x03\x04",
        b"PK\x03\x04" + bytes(1000),
        zip_of(("a", dicom_file()))[:-30],
        zip_of(("a", dicom_file()))[:200],
    ],
)
def test_zips_that_cannot_be_read(tmp_path: Path, body: bytes) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            with pytest.raises(Malformed, match="ZIP"):
                await stored.send(body, "application/zip")
            assert stored.spools == []

    asyncio.run(test())


def test_members_that_cannot_be_unpacked(tmp_path: Path) -> None:
    good = zip_of(("a", dicom_file(1)), ("b", dicom_file(2)), method=zipfile.ZIP_STORED)

    def changed(at: int, value: bytes) -> bytes:
        directory = good.index(b"PK\x01\x02")
        header = good.index(b"PK\x03\x04")
        both = bytearray(good)
        both[directory + 2 + at : directory + 2 + at + len(value)] = value
        both[header + at : header + at + len(value)] = value
        return bytes(both)

    bodies = {
        "encrypted": changed(6, b"\x01\x00"),
        "method 9 is not supported": changed(8, b"\x09\x00"),
        "method 14": changed(8, b"\x0e\x00"),
        "CRC": good.replace(bytes(range(16)), bytes(16), 1),
        "unpacked": changed(8, b"\x08\x00"),
    }

    async def test() -> None:
        async with archive(tmp_path) as stored:
            for reason, body in bodies.items():
                results = await stored.send(body)
                assert isinstance(results[0].error, Malformed), reason
                assert reason in str(results[0].error)
                assert results[1].status in {"stored", "duplicate"}
                assert stored.spools == []
            assert await stored.instances() == [f"{ROOT}.1.1.2"]
            await stored.check()

    asyncio.run(test())


def test_forged_sizes(tmp_path: Path) -> None:
    file = dicom_file(1)
    good = zip_of(("a", file))
    directory = good.index(b"PK\x01\x02")

    async def test() -> None:
        async with archive(tmp_path) as stored:
            for size in (10, len(file) - 1, len(file) + 1, 2**32 - 2):
                body = bytearray(good)
                body[directory + 24 : directory + 28] = struct.pack("<I", size)
                try:
                    [result] = await stored.send(bytes(body))
                except NeurdicomError:
                    continue
                if result.status != "rejected":
                    assert stored.files == [file]
                assert stored.spools == []

    asyncio.run(test())


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_reader, "UNPACKED_BYTES", 1_000_000)
    monkeypatch.setattr(zip_reader, "UNPACKED_RATIO", 10)
    bomb = dicom_file(2, PixelData=bytes(5_000_000))
    body = zip_of(("zeros", bytes(50_000_000)), ("1", dicom_file(1)), ("bomb", bomb), ("3", dicom_file(3)))

    async def test() -> None:
        async with archive(tmp_path) as stored:
            results = await stored.send(body)
            assert [type(result.error) for result in results] == [NotDicom, type(None), TooLarge, TooLarge]
            assert await stored.instances() == [f"{ROOT}.1.1.1"]
            await stored.check()

    asyncio.run(test())


def test_tables_of_contents_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = zip_of(*((str(number), dicom_file(number)) for number in range(50)))

    async def test() -> None:
        async with archive(tmp_path) as stored:
            with monkeypatch.context() as patch:
                patch.setattr(zip_reader, "MAX_FILES", 49)
                with pytest.raises(TooLarge, match="more than 49 files"):
                    await stored.send(body)
            with monkeypatch.context() as patch:
                patch.setattr(zip_reader, "MAX_DIRECTORY", 1000)
                with pytest.raises(TooLarge, match="table of contents"):
                    await stored.send(body)
            assert stored.spools == []
            assert len(await stored.send(body)) == 50

    asyncio.run(test())


def test_noise_in_a_zip_gives_our_errors_and_nothing_else(tmp_path: Path) -> None:
    good = zip_of(("a/1", dicom_file(1)), ("a/2", dicom_file(2, PixelData=bytes(300))), ("a/3", b"no"))
    noise = random.Random(5)

    async def test() -> None:
        async with archive(tmp_path) as stored:
            for _ in range(300):
                body = bytearray(good)
                for _ in range(noise.randint(1, 6)):
                    body[noise.randrange(len(body))] = noise.randrange(256)
                body[0:4] = good[0:4]
                try:
                    results = await stored.send(bytes(body))
                except (Malformed, TooLarge):
                    continue
                assert all("internal" not in str(result.error) for result in results)
            assert stored.spools == []
            await stored.check()

    asyncio.run(test())
