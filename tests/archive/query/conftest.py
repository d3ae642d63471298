"""Archives on each catalog, made once for a module and only read."""

import uuid
from collections.abc import Callable, Iterator

import pytest
from pydicom.dataset import Dataset
from pymongo import MongoClient

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.mongo import MongoCatalog
from neurdicom.catalog.sqlite import SqliteCatalog
from tests.support.files import dicom_file
from tests.support.query_archive import QueryableArchive


@pytest.fixture(scope="module", params=["sqlite", "mongodb"])
def make_archive(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], QueryableArchive]]:
    """A function that makes empty archives on each catalog in turn."""
    made: list[QueryableArchive] = []
    names: list[str] = []

    def make() -> QueryableArchive:
        folder = tmp_path_factory.mktemp("archive")
        if request.param == "sqlite":
            catalog: Catalog = SqliteCatalog(folder / "catalog.sqlite")
        else:
            names.append(f"query_{uuid.uuid4().hex[:12]}")
            catalog = MongoCatalog(request.getfixturevalue("mongodb_uri"), names[-1])
        archive = QueryableArchive(catalog, folder)
        archive.runner.run(catalog.open())
        made.append(archive)
        return archive

    yield make
    for archive in made:
        archive.runner.run(archive.catalog.close())
        archive.runner.close()
    if names:
        with MongoClient(request.getfixturevalue("mongodb_uri")) as client:
            for name in names:
                client.drop_database(name)


def _request(step: str, procedure: str) -> Dataset:
    item = Dataset()
    item.ScheduledProcedureStepID, item.RequestedProcedureID = step, procedure
    item.RequestedProcedureDescription = "Chest"
    return item


@pytest.fixture(scope="module")
def archive(make_archive: Callable[[], QueryableArchive]) -> QueryableArchive:
    """An archive of four studies."""
    archive = make_archive()
    archive.store(
        [
            dicom_file(
                1, study=1, series=1, PatientID="A1", PatientName="Doe^Jane", StudyDate="20240101", StudyTime="103000",
                Modality="CT", StudyDescription="Chest CT", SeriesNumber=3, TimezoneOffsetFromUTC="+0100",
                InstitutionalDepartmentName="Radiology", RequestAttributesSequence=[_request("S1", "R1")],
            ),
            dicom_file(2, study=1, series=1, PatientID="A1", PatientName="Doe^Jane", Modality="CT", SeriesNumber=3),
            dicom_file(1, study=1, series=2, PatientID="A1", PatientName="Doe^Jane", Modality="SR",
                       SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11"),
            dicom_file(
                1, study=2, series=1, PatientID="B2", SpecificCharacterSet="ISO_IR 192",
                PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう", StudyDate="20240102", StudyTime="080000",
                Modality="MR", InstitutionalDepartmentName="Neurology",
            ),
            dicom_file(
                1, study=3, series=1, PatientID="C3", SpecificCharacterSet="ISO_IR 192",
                PatientName="Müller-Lüdenscheidt^Zoë",
                StudyDate="20240102", StudyTime="200000", Modality="US", AccessionNumber="X*Y",
                ReferringPhysicianName="House^Gregory",
            ),
            dicom_file(1, study=4, series=1, PatientID="D4", PatientName="Doe^John", Modality="CT", StudyDate=""),
        ]
    )  # fmt: skip
    return archive
