"""The words in which a refusal is told: whole, and as an Error Comment of DIMSE."""

import asyncio
from pathlib import Path

import pytest

from neurdicom.archive.ingest.result import MOST_COMMENT, refusal_comment, refusal_error
from neurdicom.catalog.outcomes import Refusal, StorePolicy
from neurdicom.dicom.query.attributes import Level
from tests.support.archive import archive
from tests.support.files import ROOT, dicom_file

LONG = f"{ROOT}.{'9' * 24}.4711"


@pytest.mark.parametrize(
    ("refusal", "comment"),
    [
        (Refusal(Level.STUDY, "1.2", ("1.2",)), "Study 1.2 is of another patient"),
        (Refusal(Level.SERIES, "1.2.4711", ("1.2.4711",)), "Series 1.2.4711 is of another study"),
        (Refusal(Level.INSTANCE, "1.2", ("1.2",)), "Instance 1.2 is of another series"),
        (Refusal(Level.INSTANCE, "1.2", ("1.2",), same_place=True), "Instance 1.2 is there with other bytes"),
    ],
)
def test_an_error_comment(refusal: Refusal, comment: str) -> None:
    assert refusal_comment(refusal) == comment


@pytest.mark.parametrize("level", [Level.STUDY, Level.SERIES, Level.INSTANCE])
@pytest.mark.parametrize("same_place", [False, True])
def test_an_error_comment_about_a_long_uid(level: Level, same_place: bool) -> None:
    comment = refusal_comment(Refusal(level, LONG, (LONG,), same_place=same_place))
    assert comment.startswith(f"{level.value.capitalize()} ...")
    assert "9999.4711 is " in comment
    assert comment.isascii() and len(comment) == MOST_COMMENT


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"patient": "P2"}, f"the study {ROOT}.1 is there already, of the patient 'P1'"),
        (
            {"StudyInstanceUID": "1.2"},
            f"the series {ROOT}.1.1 is there already, in the study {ROOT}.1 of the patient 'P1'",
        ),
        (
            {"SeriesInstanceUID": "1.2"},
            f"the instance {ROOT}.1.1.1 is there already, in the series {ROOT}.1.1 of the study {ROOT}.1 of the "
            "patient 'P1'",
        ),
    ],
)
def test_a_refusal_names_the_holder(tmp_path: Path, elements: dict[str, str], reason: str) -> None:
    async def test() -> None:
        async with archive(tmp_path, policy=StorePolicy("refuse")) as stored:
            await stored.add(dicom_file())
            result = await stored.add(dicom_file(**elements))  # type: ignore[arg-type]
            assert result.refusal is not None and result.place is None
            assert str(result.error) == f"{reason}; conflicts are refused here (setting conflicts)"
            await stored.check()
            gone = Refusal(Level.SERIES, "1.2", ("1.2", "1.2~12345678"))
            assert "the series 1.2 is there already, in another study (and 1 more);" in str(
                await refusal_error(stored.catalog, gone)
            )

    asyncio.run(test())


def test_a_holder_without_patient_id(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path, policy=StorePolicy("refuse")) as stored:
            await stored.add(dicom_file(PatientID=None))
            result = await stored.add(dicom_file(StudyInstanceUID="1.2"))
            assert f"in the study {ROOT}.1 of a patient without Patient ID;" in str(result.error)

    asyncio.run(test())
