"""Orthanc moves studies to and from us with the settings that its manual has."""

from pathlib import Path

import httpx
import orjson

from tests.support.files import ROOT, dicom_file
from tests.support.orthanc import orthanc
from tests.support.server import Server


def test_orthanc_pushes_queries_and_retrieves(tmp_path: Path) -> None:
    with Server(tmp_path / "data", auth=True) as server:
        first = orjson.loads((tmp_path / "data" / "first-sign-in.json").read_bytes())
        account = first["email"], first["password"]
        files = {
            f"{ROOT}.{study}.1.{number}": dicom_file(number, study=study) for study in (1, 2) for number in range(1, 6)
        }
        remote = {"Url": f"{server.url}/dicom-web/", "Username": account[0], "Password": account[1]}
        with orthanc(tmp_path / "orthanc", DicomWeb={"Servers": {"neurdicom": remote}}) as running:
            client = running.http
            ids = [client.post("/instances", content=file).json()["ID"] for file in files.values()]
            pushed = client.post(
                "/dicom-web/servers/neurdicom/stow", json={"Resources": ids, "Synchronous": True}
            ).raise_for_status()
            assert int(pushed.json()["InstancesCount"]) == 10
            server.client.auth = httpx.BasicAuth(*account)
            assert server.client.get(f"/api/studies/{ROOT}.1").json()["images_count"] == 5
            for uid, file in files.items():
                assert server.client.get(f"/api/instances/{uid}/file").content == file
            found = client.post("/dicom-web/servers/neurdicom/qido", json={"Uri": "/studies"}).raise_for_status()
            assert len(found.json()) == 2
            for each in ids:
                client.delete(f"/instances/{each}").raise_for_status()
            wanted = {"Resources": [{"Study": f"{ROOT}.1"}], "Synchronous": True}
            got = client.post("/dicom-web/servers/neurdicom/retrieve", json=wanted).raise_for_status()
            assert int(got.json()["ReceivedInstancesCount"]) == 5
            assert len(client.get("/instances").json()) == 5
