"""Bodies of uploads: raw and multipart."""

import asyncio
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurdicom.archive.upload import UploadService
from neurdicom.archive.upload import service as upload_service
from neurdicom.archive.upload.multipart import MultipartReader, PartBegins, PartData
from neurdicom.errors import Invalid, Malformed, NeurdicomError, NotDicom, TooLarge, Unavailable
from neurdicom.testing.faults import Fault
from tests.support.archive import archive
from tests.support.files import ROOT, dicom_file
from tests.support.uploads import BOUNDARY, FORM, file_part, form


@pytest.mark.parametrize("content_type", ["application/dicom", "", "application/octet-stream", "text/plain"])
@pytest.mark.parametrize("piece", [1, 131, 133, 65536])
def test_a_raw_body(tmp_path: Path, content_type: str, piece: int) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            [result] = await stored.send(dicom_file(), content_type, piece=piece)
            assert (result.file, result.status, result.id) == ("body", "stored", f"{ROOT}.1.1.1")
            assert stored.files == [dicom_file()]

    asyncio.run(test())


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", Malformed),
        (b"\x00", NotDicom),
        (bytes(132), NotDicom),
        (b"x" * 1_000_000, NotDicom),
        (dicom_file()[:450], Malformed),
        (dicom_file(SOPInstanceUID=None), Invalid),
    ],
)
def test_a_raw_body_that_is_refused_raises(tmp_path: Path, body: bytes, error: type[NeurdicomError]) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            with pytest.raises(error):
                await stored.send(body, "application/dicom")
            assert stored.files == [] == stored.spools

    asyncio.run(test())


@pytest.mark.parametrize("piece", [1, 7, 1000, 65536])
def test_a_form_with_many_files(tmp_path: Path, piece: int) -> None:
    body = form(
        ('Content-Disposition: form-data; name="comment"', b"not a file"),
        file_part("a/1.dcm", dicom_file(1)),
        file_part("notes.txt", b"not DICOM"),
        file_part("1 again.dcm", dicom_file(1)),
        file_part("cut.dcm", dicom_file(2)[:450]),
        file_part("3.dcm", dicom_file(3)),
    )

    async def test() -> None:
        async with archive(tmp_path) as stored:
            results = await stored.send(body, FORM, piece=piece)
            assert [(result.file, result.status) for result in results] == [
                ("1.dcm", "stored") if results[0].file == "1.dcm" else ("a/1.dcm", "stored"),
                ("notes.txt", "rejected"),
                ("1 again.dcm", "duplicate"),
                ("cut.dcm", "rejected"),
                ("3.dcm", "stored"),
            ]
            assert [type(result.error) for result in results if result.error] == [NotDicom, results[3].error.__class__]
            await stored.check()

    asyncio.run(test())


def test_of_several_files_of_an_instance_the_last_one_stays(tmp_path: Path) -> None:
    files = [
        dicom_file(1, PatientName=f"Version^{number}", PixelData=bytes(3_000_000 >> number)) for number in range(9)
    ]
    broken = [dicom_file(2)[:450] for _ in files]
    body = form(*(file_part("x", each) for pair in zip(files, broken, strict=True) for each in pair))

    async def test() -> None:
        async with archive(tmp_path) as stored:
            results = await stored.send(body, FORM)
            assert [result.status for result in results[::2]] == ["stored"] + ["replaced"] * 8
            assert {result.status for result in results[1::2]} == {"rejected"}
            assert stored.files == [files[-1]]
            await stored.check()

    asyncio.run(test())


def test_names_of_parts(tmp_path: Path) -> None:
    body = form(
        ('Content-Disposition: form-data; name="f"; filename="Снимок.dcm"', b"x"),
        ("Content-Disposition: form-data; name=f; filename*=UTF-8''%E5%B1%B1.dcm", b"x"),
        ('Content-Disposition: form-data; name="f"; filename="two\x01lines"', b"x"),
        ("Content-Type: application/dicom", b"x"),
        ('Content-Disposition: form-data; name="f"; filename="' + "n" * 400 + '"', b"x"),
    )

    async def test() -> None:
        async with archive(tmp_path) as stored:
            results = await stored.send(body, FORM)
            names = [result.file for result in results]
            assert names == ["Снимок.dcm", "山.dcm", "two\N{REPLACEMENT CHARACTER}lines", "part 4", "…" + "n" * 254]

    asyncio.run(test())


def test_a_related_body(tmp_path: Path) -> None:
    body = form(("Content-Type: application/dicom", dicom_file(1)), ("Content-Type: application/dicom", dicom_file(2)))
    content_type = f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'

    async def test() -> None:
        async with archive(tmp_path) as stored:
            results = await stored.send(body, content_type)
            assert [result.status for result in results] == ["stored", "stored"]

    asyncio.run(test())


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", FORM),
        (b"no boundary in it", FORM),
        (form(), FORM),
        (form(('Content-Disposition: form-data; name="comment"', b"text")), FORM),
        (form(file_part("1.dcm", dicom_file())), "multipart/form-data"),
        (form(file_part("1.dcm", dicom_file())), "multipart/form-data; boundary=" + "b" * 5000),
        (form(file_part("1.dcm", dicom_file()))[:300], FORM),
        (b"--%s\r\nBad Header\x00: x\r\n\r\n" % BOUNDARY.encode(), FORM),
        (form(("X: " + "h" * 100_000, b"x")), FORM),
        (form(("\r\n".join(f"X{number}: h" for number in range(1000)), b"x")), FORM),
    ],
)
def test_broken_forms(tmp_path: Path, body: bytes, content_type: str) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            with pytest.raises(Malformed):
                await stored.send(body, content_type)
            assert stored.files == [] == stored.spools

    asyncio.run(test())


def test_a_form_that_breaks_in_the_middle_keeps_what_was_whole(tmp_path: Path) -> None:
    body = form(file_part("1.dcm", dicom_file(1)), file_part("2.dcm", dicom_file(2)), end=False)

    async def test() -> None:
        async with archive(tmp_path) as stored:
            cut = body[: body.index(b"2.dcm") + 100]
            results = await stored.send(cut, FORM)
            assert [(result.file, result.status) for result in results] == [("1.dcm", "stored"), ("2.dcm", "rejected")]
            await stored.check()
            results = await stored.send(form(file_part("1.dcm", dicom_file(1))) + b"--more\r\n", FORM)
            assert [result.status for result in results] == ["duplicate"]

    asyncio.run(test())


def test_a_body_past_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            with pytest.raises(TooLarge, match="at most 1000 are allowed"):
                await stored.send(dicom_file() + bytes(1000), max_upload=1000)
            body = form(*(file_part(f"{number}.dcm", dicom_file(number)) for number in range(3)))
            results = await stored.send(body, FORM, piece=100, max_upload=len(body) - 200)
            assert [result.status for result in results] == ["stored", "stored", "rejected"]
            assert isinstance(results[2].error, TooLarge)
            assert stored.spools == []
            monkeypatch.setattr(upload_service, "DRAIN", 100)
            with pytest.raises(TooLarge):
                UploadService(stored.ingest, 1000).begin("", 1101)
            UploadService(stored.ingest, 1000).begin("", 1100)

    asyncio.run(test())


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurdicom.archive.upload.results.MAX_FILES", 3)
    body = form(*(file_part(f"{number}.dcm", dicom_file(number)) for number in range(5)))

    async def test() -> None:
        async with archive(tmp_path) as stored:
            results = await stored.send(body, FORM)
            assert [result.status for result in results] == ["stored"] * 3 + ["rejected"]
            assert isinstance(results[3].error, TooLarge)
            await stored.check()

    asyncio.run(test())


def test_a_disk_that_fails_under_an_upload(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            with Fault(stored.catalog, "store", Unavailable("no answer")):
                with pytest.raises(Unavailable):
                    await stored.send(dicom_file(1))
                results = await stored.send(form(file_part("1", dicom_file(1)), file_part("2", dicom_file(2))), FORM)
                assert [type(result.error) for result in results] == [Unavailable, Unavailable]

    asyncio.run(test())


def test_an_upload_that_is_broken_off(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            body = form(
                file_part("1.dcm", dicom_file(1)), file_part("2.dcm", dicom_file(2, PixelData=bytes(3_000_000)))
            )
            upload = UploadService(stored.ingest).begin(FORM)
            await upload.write(body[:2_500_000])
            await upload.abort()
            await upload.write(body[2_500_000:])
            assert stored.spools == []
            assert await stored.instances() == [f"{ROOT}.1.1.1"]
            assert stored.ingest.held == 0

    asyncio.run(test())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    parts=st.lists(st.binary(max_size=200) | st.just(b"\r\n--" + BOUNDARY[:-1].encode()), min_size=1, max_size=4),
    preamble=st.sampled_from([b"", b"\r\n", b"some text\r\n", b"--" + BOUNDARY[:-1].encode() + b"\r\n\r\n"]),
    seed=st.integers(0, 2**32),
)
def test_parts_come_out_as_they_went_in_however_they_are_cut(parts: list[bytes], preamble: bytes, seed: int) -> None:
    body = preamble + form(*(file_part(str(number), data) for number, data in enumerate(parts)))
    cuts = random.Random(seed)
    reader, found, position = MultipartReader(FORM), [], 0
    while position < len(body):
        step = cuts.choice([1, 2, 3, 40, 500])
        for event in reader.feed(body[position : position + step]):
            if isinstance(event, PartBegins):
                found.append(b"")
            elif isinstance(event, PartData):
                found[-1] += bytes(event.data)
        position += step
    assert reader.complete
    assert found == parts


@settings(max_examples=80, deadline=None)
@given(noise=st.binary(max_size=300), at=st.integers(0, 400))
def test_noise_in_a_form_is_malformed_and_nothing_else(noise: bytes, at: int) -> None:
    body = bytearray(form(file_part("a", b"x" * 50), file_part("b", b"y" * 50)))
    body[at : at + len(noise)] = noise
    try:
        MultipartReader(FORM).feed(bytes(body))
    except Malformed:
        return
