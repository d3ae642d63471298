"""A backup beside a server under load, and the server that is restored from it."""

import re
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from neurdicom.catalog.sqlite.copy import CatalogCopy
from tests.support.api import upload
from tests.support.backups import back_up, blobs, instances, keys, latest, restored, run
from tests.support.files import ROOT, dicom_file
from tests.support.packages import package
from tests.support.plugin_site import Site
from tests.support.server import Server
from tests.support.waiting import wait_for


def state(client: httpx.Client) -> dict[str, Any]:
    """What a server tells of all that a backup has."""
    paths = ("patients", "studies", "series", "instances", "users", "plugins", "nodes", "rules")
    lists = {path: client.get(f"/api/{path}").json() for path in paths}
    edits = {each["id"]: client.get(f"/api/patients/{each['id']}/edits").json() for each in lists["patients"]}
    return lists | {"edits": edits}


def load(url: str, stop: threading.Event, study: int) -> None:
    """Upload, replace and delete instances until told to stop."""
    with httpx.Client(base_url=url, timeout=60) as client:
        number = 0
        while not stop.is_set():
            number += 1
            upload(client, dicom_file(number, study=study))
            upload(client, dicom_file(number, study=study, PatientName="Other^Name"))
            if number % 2:
                assert client.delete(f"/api/instances/{ROOT}.{study}.1.{number}").status_code == 204


def test_a_backup_beside_a_server_under_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, dest, config = tmp_path / "data", tmp_path / "backups", tmp_path / "neurdicom.toml"
    config.write_text(f'data = "{data}"\nae_title = "CLINIC"\n', encoding="utf-8")
    with Server(data) as server:
        first = upload(server.client, dicom_file(1))["id"]
        site = Site(server, first)
        assert site.install(package()).status_code == 201
        computed = site.run().json()
        account = {"email": "ann@example.org", "password": "correct horse"}
        assert server.client.post("/api/users", json=account).status_code == 201
        [patient] = server.client.get("/api/patients").json()
        edit = server.client.put(f"/api/patients/{patient['id']}", json={"patient_name": "Edited^Name"})
        assert edit.status_code == 200, edit.text

        stop = threading.Event()
        loads = [threading.Thread(target=load, args=(server.url, stop, study)) for study in (2, 3)]
        for thread in loads:
            thread.start()
        try:
            wait_for(lambda: len(server.client.get("/api/studies").json()) == 3, "the load")
            for _ in range(2):
                back_up(data, dest)
        finally:
            stop.set()
            for thread in loads:
                thread.join()
        for number, backup in enumerate(sorted(dest.glob("2*Z"))):
            assert first in instances(restored(dest, tmp_path / f"loaded-{number}", "--at", backup.name))
        assert run("backup", dest, "--verify").exit_code == 0

        upload(server.client, dicom_file(2))
        count = int(server.client.get("/api/instances?limit=1").headers["X-Total-Count"])
        wait_for(lambda: len(keys(data)) == count, "held files to be deleted")
        before, files, deleted = state(server.client), {}, f"{ROOT}.1.1.2"
        raw = server.client.get(f"/api/instances/{deleted}/file").content

        def change(self: CatalogCopy) -> int:
            """Delete and upload after the copy of the catalog, before the files are copied."""
            files.update(blobs(data))
            assert server.client.delete(f"/api/instances/{deleted}").status_code == 204
            upload(server.client, dicom_file(3))
            assert set(files) < keys(data), "the file stays while the backup holds it"
            return len(files)

        monkeypatch.setattr(CatalogCopy, "count", change)
        result = run("backup", dest, "--config", config, "--keep", 1)
        assert result.exit_code == 0, result.output
        [(total, more, new)] = re.findall(r": (\d+) files .* (\d+) in the trash .* (\d+) of them new", result.output)
        assert int(total) == len(files) and int(new) < int(total) + int(more), (
            "the others are there from the backups before"
        )
        wait_for(lambda: len(keys(data)) == len(files), "the held file to be deleted")  # one is new, one is gone
        assert server.client.get(f"/api/instances/{deleted}").status_code == 404
    assert [path.name for path in dest.glob("2*Z")] == [latest(dest).name]
    new = restored(dest, tmp_path / "new")
    assert blobs(new) == files
    assert (new / "settings.toml").read_bytes() == config.read_bytes()
    assert (new / "server-name").read_bytes() == (data / "server-name").read_bytes()
    with Server(new) as server:
        assert state(server.client) == before
        assert server.client.get(f"/api/instances/{deleted}/file").content == raw
        assert Site(server, first).run().json() == computed
