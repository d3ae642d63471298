"""Names of entities in documents: keys become ids, and references become keys."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from neurdicom.archive.names import EntityNames
from neurdicom.catalog.terms import TermCondition
from neurdicom.dicom.query.attributes import Level
from tests.support.archive import archive
from tests.support.colliding import CollidingInstance, collision, instance


def run(folder: Path, test: Callable[[EntityNames], Awaitable[None]], *files: CollidingInstance) -> None:
    async def go() -> None:
        async with archive(folder) as site:
            for one in files:
                assert (await site.add(one.file)).status == "stored"
            await test(EntityNames(site.catalog))

    asyncio.run(go())


def test_documents_are_shown_with_ids(tmp_path: Path) -> None:
    made, plain = collision("PatientID"), instance()
    first = made.first
    documents: list[dict[str, Any]] = [
        {"instance": first.key("instance"), "series": first.key("series"), "note": first.key("study")},
        {"instance": None, "series": plain.key("series"), "study": plain.key("study"), "stored": []},
        {"instances": [plain.key("instance"), first.key("instance")], "stored": ["1.2~01234567"], "patients": ["p"]},
    ]

    async def test(names: EntityNames) -> None:
        assert await names.shown(documents) == [
            {
                "instance": first.key("instance"),
                "instance_uid": first.uid("instance"),
                "series": first.key("series"),
                "series_uid": first.uid("series"),
                "note": first.key("study"),
            },
            {
                "instance": None,
                "instance_uid": None,
                "series": plain.uid("series"),
                "series_uid": plain.uid("series"),
                "study": plain.uid("study"),
                "study_uid": plain.uid("study"),
                "stored": [],
                "stored_uids": [],
            },
            {
                "instances": [plain.uid("instance"), first.key("instance")],
                "instance_uids": [plain.uid("instance"), first.uid("instance")],
                "stored": ["1.2"],
                "stored_uids": ["1.2"],
                "patients": ["p"],
            },
        ]
        without = await names.shown(documents, uids=False)
        assert [list(each) for each in without] == [list(each) for each in documents]
        assert documents[0]["instance"] == first.key("instance"), "the documents stay as they are"
        assert await names.shown([]) == []
        assert await names.ids(Level.STUDY, [first.key("study"), plain.key("study")]) == [
            first.key("study"),
            plain.uid("study"),
        ]

    run(tmp_path, test, *made.both, plain)


def test_references_become_keys(tmp_path: Path) -> None:
    made = collision("PatientID")
    unnamed = instance(PatientID=None)
    named = instance(StudyInstanceUID=unnamed.uid("study"))
    first, second = (one.key("study") for one in made.both)

    async def test(names: EntityNames) -> None:
        assert set(await names.keys(Level.STUDY, made.first.uid("study"))) == {first, second}
        assert await names.keys(Level.STUDY, first) == [first]
        (present, *former) = await names.keys(Level.STUDY, unnamed.uid("study"))
        assert present == named.key("study")
        assert len(former) == 1
        assert await names.keys(Level.STUDY, former[0]) == [present, *former]
        assert await names.keys(Level.STUDY, "1.2.3") == ["1.2.3"]
        assert await names.patients_of([first, former[0], "1.2~01234567"]) == {
            first: made.first.patient,
            former[0]: named.patient,
        }
        given = [
            TermCondition("study", "=", (made.first.uid("study"), "1.2.3")),
            TermCondition("patient", "=", (named.patient,)),
            TermCondition("stored", "=", (made.first.key("series"),)),
            TermCondition("plugin", "=", ("p",)),
        ]
        studies, patient, stored, plugin = await names.by_key(given)
        assert set(studies.values) == {first, second, "1.2.3"}
        assert (patient.name, patient.values) == ("study", (present, *former))
        assert (stored.name, set(stored.values)) == ("stored", {made.first.key("series")})
        assert plugin == given[3]

    run(tmp_path, test, *made.both, unnamed, named)
