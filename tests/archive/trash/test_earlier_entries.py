"""Entries of the trash whose edits an earlier version wrote, the last of each field without id and former value."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurdicom.archive.trash.records import KIND
from neurdicom.catalog.sqlite import SqliteCatalog
from tests.support.archive_client import Archive
from tests.support.server import Server


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "data") as running:
        yield running


async def set_back(path: Path) -> None:
    """Write each entry as it was written before edits had a history."""
    catalog = SqliteCatalog(path)
    await catalog.open()
    for document in (await catalog.documents.query(KIND)).items:
        last = {(edit["entity"], edit["field"]): edit for edit in document["edits"]}
        edits = [{name: one for name, one in edit.items() if name not in ("id", "before")} for edit in last.values()]
        after = document | {"edits": edits}
        assert await catalog.documents.swap(KIND, document["id"], document, after)
    await catalog.close()


def test_an_entry_of_before_comes_back(own: Server) -> None:
    archive = Archive(own)
    [made] = archive.make(StudyDescription="file")
    path = f"/studies/{made['study']}"
    for value in ("first", "second"):
        archive.put(path, {"study_description": value})
    archive.put(path, {"study_id": "X"})
    archive.delete(path)
    asyncio.run(set_back(own.files / "catalog.sqlite"))
    [entry] = archive.get("/trash").json()
    assert archive.client.post(f"/api/trash/{entry['id']}/restore").status_code == 200
    edits = {edit["field"]: edit for edit in archive.get(f"{path}/edits").json()}
    assert {field: (edit["before"], edit["after"]) for field, edit in edits.items()} == {
        "study_description": (None, "second"),
        "study_id": (None, "X"),
    }
    archive.delete(f"{path}/edits/{edits['study_description']['edit']}")
    study = archive.get(path).json()
    assert (study["study_description"], study["study_id"]) == ("file", "X")
