"""Servers with a quota, and studies of a known size for them."""

from collections.abc import Callable
from typing import Any

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.mongo import MongoCatalog
from neurdicom.catalog.sqlite import SqliteCatalog
from tests.support.api import upload
from tests.support.files import dicom_file
from tests.support.server import Server

#: Makes a server on the test's data folder, with options; it is stopped at the end of the test.
ServerMaker = Callable[..., Server]

#: Bytes of the pixels of a file; a study has two files.
PIXELS = 1 << 18
#: MiB in which three studies have room, and four have not.
ROOM = "1.8"
ROOM_BYTES = int(1.8 * (1 << 20))


def file_of(study: int, number: int = 1, *, patient: str = "", **more: Any) -> bytes:
    return dicom_file(
        number,
        study=study,
        patient=patient or f"P{study}",
        NumberOfFrames=PIXELS // 16,
        PixelData=bytes([study % 256]) * PIXELS,
        **more,
    )


def store(server: Server, *studies: int, patient: str = "") -> None:
    for study in studies:
        for number in (1, 2):
            assert upload(server.client, file_of(study, number, patient=patient))["status"] == "stored"


def studies_of(server: Server) -> list[int]:
    """Numbers of the studies that are there."""
    found = server.client.get("/api/studies", params={"limit": 1000}).json()
    return sorted(int(one["id"].rpartition(".")[2]) for one in found)


def storage(server: Server) -> dict[str, Any]:
    return dict(server.client.get("/api/storage").json())


def entries(server: Server) -> list[dict[str, Any]]:
    return list(server.client.get("/api/trash", params={"limit": 1000}).json())


def catalog_of(server: Server) -> Catalog:
    """The catalog of a server that is stopped, to be opened."""
    if "--mongodb-uri" in server.options:
        return MongoCatalog(server.options[server.options.index("--mongodb-uri") + 1])
    return SqliteCatalog(server.data / "catalog.sqlite")
