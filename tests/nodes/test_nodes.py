"""Nodes as a resource: made, listed, changed, removed, and never telling their credentials."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from neurdicom.catalog.sqlite import SqliteCatalog
from neurdicom.cli.main import main
from neurdicom.nodes.service import NodeService
from tests.support.server import Server

DIMSE = {"name": "ct1", "protocol": "DIMSE", "ae_title": "CT 1", "host": "10.0.0.5", "port": 104}
WEB = {"name": "archive", "protocol": "DICOMWEB", "url": "https://pacs.example.org/dicom-web"}
SECRETS = {"username": "ann", "password": "correct horse"}


@pytest.fixture
def client(any_server: Server) -> httpx.Client:
    for node in any_server.client.get("/api/dicom_nodes").json():
        any_server.client.delete(f"/api/dicom_nodes/{node['id']}")
    return any_server.client


def test_from_making_to_removing(client: httpx.Client) -> None:
    answer = client.post("/api/dicom_nodes", json=DIMSE)
    assert (answer.status_code, answer.headers["Location"]) == (201, "/api/dicom_nodes/ct1")
    assert answer.json() == DIMSE | {"id": "ct1", "tls": False, "retrieve": None}
    assert client.post("/api/dicom_nodes", json=WEB | {"protocol": "DICOMweb"}).status_code == 201
    listed = client.get("/api/dicom_nodes", params={"limit": 1})
    assert [node["id"] for node in listed.json()] == ["archive"]
    assert listed.headers["X-Total-Count"] == "2"
    assert [node["id"] for node in client.get(listed.links["next"]["url"]).json()] == ["ct1"]
    changed = client.get("/api/dicom_nodes/ct1").json() | {"port": 11112, "retrieve": "C-GET"}
    assert client.put("/api/dicom_nodes/ct1", json=changed).json() == changed
    assert client.get("/api/dicom_nodes/ct1").json() == changed
    assert client.delete("/api/dicom_nodes/ct1").status_code == 204
    for method in ("GET", "DELETE"):
        assert client.request(method, "/api/dicom_nodes/ct1").status_code == 404
    assert client.put("/api/dicom_nodes/ct1", json=DIMSE).status_code == 404


def test_an_id_is_a_name(client: httpx.Client) -> None:
    fields = {name: value for name, value in DIMSE.items() if name != "name"}
    answer = client.post("/api/dicom_nodes", json=fields | {"id": "ct1"})
    assert (answer.status_code, answer.json()["name"]) == (201, "ct1")
    assert client.post("/api/dicom_nodes", json=WEB | {"id": "archive", "name": None}).status_code == 201
    nameless = client.post("/api/dicom_nodes", json=fields | {"id": None}).json()
    assert (nameless["field"], nameless["detail"]) == ("name", "name is missing")


def test_names_and_ae_titles_are_of_one_node(client: httpx.Client) -> None:
    client.post("/api/dicom_nodes", json=DIMSE)
    again = client.post("/api/dicom_nodes", json=DIMSE | {"ae_title": "CT2"})
    assert (again.status_code, again.json()["field"]) == (409, "name")
    taken = client.post("/api/dicom_nodes", json=DIMSE | {"name": "ct2"})
    assert (taken.status_code, taken.json()["field"]) == (409, "ae_title")
    assert client.post("/api/dicom_nodes", json=DIMSE | {"name": "ct2", "ae_title": "ct 1"}).status_code == 201
    assert client.put("/api/dicom_nodes/ct2", json=DIMSE | {"name": "ct2"}).status_code == 409


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        (DIMSE | {"name": "a/b"}, "name"),
        (DIMSE | {"name": ".."}, "name"),
        (DIMSE | {"name": "ä"}, "name"),
        (DIMSE | {"name": None}, "name"),
        (DIMSE | {"name": "x" * 65}, "name"),
        (DIMSE | {"id": "other"}, "id"),
        ({"protocol": "DIMSE", "ae_title": "A", "host": "h", "port": 104, "id": "a/b"}, "id"),
        ({"protocol": "DIMSE", "ae_title": "A", "host": "h", "port": 104, "id": 5}, "id"),
        (DIMSE | {"protocol": "FTP"}, "protocol"),
        (DIMSE | {"protocol": ["DIMSE"]}, "protocol"),
        ({"name": "x"}, "protocol"),
        (DIMSE | {"ae_title": "A" * 17}, "ae_title"),
        (DIMSE | {"ae_title": "A\\B"}, "ae_title"),
        (DIMSE | {"ae_title": " A"}, "ae_title"),
        (DIMSE | {"host": "a b"}, "host"),
        (DIMSE | {"host": ""}, "host"),
        (DIMSE | {"port": 0}, "port"),
        (DIMSE | {"port": 65536}, "port"),
        (DIMSE | {"port": "104"}, "port"),
        (DIMSE | {"port": True}, "port"),
        (DIMSE | {"tls": "yes"}, "tls"),
        (DIMSE | {"retrieve": "WADO-RS"}, "retrieve"),
        (DIMSE | {"url": "http://x"}, "url"),
        (DIMSE | {"colour": "red"}, "colour"),
        (WEB | {"url": None}, "url"),
        (WEB | {"url": "file:///etc/passwd"}, "url"),
        (WEB | {"url": "https://"}, "url"),
        (WEB | {"url": "https://host:99999/"}, "url"),
        (WEB | {"url": "https://[::1"}, "url"),
        (WEB | {"url": "https://[::ffff:192.0.2.01]"}, "url"),
        (WEB | {"url": "https://host/\r\nX: y"}, "url"),
        (WEB | {"url": "https://host/?a=b"}, "url"),
        (WEB | {"url": "https://ann:hidden@host/"}, "url"),
        (WEB | {"password": "hidden"}, "username"),
        (WEB | {"username": "a:b", "password": "hidden"}, "username"),
        (WEB | {"token": "hid den"}, "token"),
        (WEB | {"token": "hidden", **SECRETS}, "token"),
        (WEB | {"port": 80}, "port"),
    ],
)
def test_what_is_wrong_is_named(client: httpx.Client, fields: dict[str, Any], field: str) -> None:
    answer = client.post("/api/dicom_nodes", json=fields)
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
    assert "hidden" not in answer.text
    assert client.get("/api/dicom_nodes").json() == []


def test_credentials_are_kept_and_never_told(any_server: Server, client: httpx.Client) -> None:
    answers = [client.post("/api/dicom_nodes", json=WEB | SECRETS)]
    path = "/api/dicom_nodes/archive"
    answers.append(client.put(path, json=WEB | {"url": "https://pacs.example.org/other"}))
    assert answers[-1].json()["credentials"] == "basic", "left out means kept"
    answers.append(client.put(path, json=WEB | {"url": "https://evil.example.org/"}))
    assert (answers[-1].status_code, answers[-1].json()["field"]) == (422, "url"), "they stay with their server"
    answers.append(client.put(path, json=answers[1].json()))
    assert answers[-1].status_code == 200, "what was answered can be sent back"
    answers += [client.get(path), client.get("/api/dicom_nodes")]
    answers.append(client.put(path, json=WEB | {"token": "correct-horse"}))
    assert answers[-1].json()["credentials"] == "bearer"
    assert client.put(path, json=WEB | {"token": None}).json()["credentials"] == "none"
    for answer in answers:
        assert "horse" not in answer.text
    assert "horse" not in any_server.log


def test_finding_by_ae_title(tmp_path: Path) -> None:
    async def run() -> None:
        catalog = SqliteCatalog(tmp_path / "catalog.sqlite")
        await catalog.open()
        try:
            nodes = NodeService(catalog.documents)
            assert await nodes.find_ae("CT 1") is None
            made = await nodes.add(DIMSE)
            assert await nodes.find_ae("CT 1") == made
            assert await nodes.find_ae("ct 1") is None
            assert await nodes.find_ae("") is None
            await nodes.replace("ct1", DIMSE | {"ae_title": "MR"})
            assert await nodes.find_ae("CT 1") is None
            await nodes.remove("ct1")
            assert await nodes.find_ae("MR") is None
        finally:
            await catalog.close()

    asyncio.run(run())


def test_from_the_command_line(tmp_path: Path) -> None:
    def run(*arguments: str, text: str = "") -> str:
        result = CliRunner().invoke(main, ["node", "--data", str(tmp_path), "--create", *arguments], input=text)
        return f"{result.exit_code} {result.output}"

    assert run("add", "ct1", "--ae-title", "CT1", "--host", "ct1", "--port", "104", "--tls") == "0 added ct1 (DIMSE)\n"
    added = run("add", "pacs", "--url", "https://pacs/dicom-web", "--username", "ann", text="secret\n")
    assert added == "0 added pacs (DICOMWEB)\n"
    assert run("add", "pacs", "--url", "https://pacs/dicom-web").startswith("1 neurdicom: there is a DICOM node")
    assert run("add", "mr", "--ae-title", "MR", "--host", "mr").startswith("2 neurdicom: port")
    listed = run("list")
    assert listed == "0 ct1\tDIMSE\tCT1@ct1:104 (TLS)\npacs\tDICOMWEB\thttps://pacs/dicom-web\n"
    assert run("remove", "ct1") == "0 removed ct1\n"
    assert run("remove", "ct1").startswith("1 ")


def test_only_administrators_manage_nodes(tmp_path: Path) -> None:
    with Server(tmp_path / "data", auth=True) as server:
        tokens = {}
        for email, options in (("root@example.org", ["--admin"]), ("ann@example.org", [])):
            arguments = ["user", "--data", str(server.data)]
            runner = CliRunner()
            assert runner.invoke(main, [*arguments, "add", email, *options], input="correct horse\n").exit_code == 0
            token = runner.invoke(main, [*arguments, "token", email]).output.strip()
            tokens[email] = {"Authorization": f"Bearer {token}"}
        root, ann = tokens.values()
        assert server.client.get("/api/dicom_nodes").status_code == 401
        assert server.client.post("/api/dicom_nodes", json=DIMSE, headers=ann).status_code == 403
        assert server.client.post("/api/dicom_nodes", json=DIMSE, headers=root).status_code == 201
        assert server.client.get("/api/dicom_nodes/ct1", headers=ann).status_code == 200
        assert server.client.put("/api/dicom_nodes/ct1", json=DIMSE, headers=ann).status_code == 403
        assert server.client.delete("/api/dicom_nodes/ct1", headers=ann).status_code == 403
