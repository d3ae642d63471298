"""Health, metrics, the request id and the access log."""

import json
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.server import Server


def test_health_tells_strangers_little(anyone: httpx.Client) -> None:
    answer = anyone.get("/api/health")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "ready": True}
    wrong = anyone.get("/api/health", headers={"Authorization": "Bearer wrong"})
    assert wrong.json() == answer.json()


def test_health_tells_users_more(admin: httpx.Client) -> None:
    health = admin.get("/api/health").json()
    assert health["ready"] and health["catalog"] == "ok"
    assert health["disk_free"] > 0 and health["uptime"] >= 0


def test_metrics_are_for_users(anyone: httpx.Client) -> None:
    assert anyone.get("/api/metrics").status_code == 401


def test_metrics_count_by_route(admin: httpx.Client) -> None:
    def count(**labels: str) -> float:
        families = text_string_to_metric_families(admin.get("/api/metrics").text)
        samples = [sample for family in families for sample in family.samples]
        return sum(
            sample.value
            for sample in samples
            if sample.name == "neurdicom_http_requests_total" and labels.items() <= sample.labels.items()
        )

    labels = {"route": "/api/studies/{id}", "method": "GET", "status": "404"}
    before = count(**labels)
    for number in range(3):
        assert admin.get(f"/api/studies/1.2.{number}").status_code == 404
    assert count(**labels) == before + 3
    others = count(route="other")
    for number in range(2):
        admin.request(f"M{number}", f"/{number}")
    assert count(route="other", method="other") == others + 2


@pytest.mark.parametrize("given", ["abc-123", "a" * 64])
def test_a_request_id_that_was_given_is_kept(anyone: httpx.Client, given: str) -> None:
    assert anyone.get("/api/health", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "a" * 65, "a b", "a;b"])
def test_other_request_ids_are_made(anyone: httpx.Client, given: str) -> None:
    made = anyone.get("/api/health", headers={"X-Request-ID": given}).headers["X-Request-ID"]
    assert made and made != given


def test_without_credentials_only_this_machine_is_answered(tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--log-format", "json") as server:
        assert server.client.get("/api/users/check").json()["is_admin"] is True
        assert server.client.get("/api/studies", headers={"Host": "evil.example"}).status_code == 403
        evil = {"Origin": "https://evil.example"}
        assert server.client.post("/api/users", json={}, headers=evil).status_code == 403
        name = "SECRET^NAME"
        server.client.get("/api/patients", params={"patient_name": name}, headers={"X-Request-ID": "find-me"})
        server.client.get("/api/nothing", params={"patient_name": name})
        server.client.get("/api/patients/%ff", params={"patient_name": name})
        server.client.get("/api/health", params={"patient_name": name})
    entries = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
    entry = next(entry for entry in entries if entry.get("request_id") == "find-me")
    assert entry["logger"] == "neurdicom.access" and entry["message"] == "GET /api/patients"
    assert entry["status"] == 200 and entry["user"] == "local@localhost" and entry["ms"] >= 0
    assert "SECRET" not in server.log, "the log holds no patient's name"
