"""Versions of a plugin that are current, held or quarantined."""

from typing import Any

import pytest

from neurdicom.errors import NotFound, PluginCrashed, PluginQuarantined
from neurdicom.plugins.manifest import manifest_of
from neurdicom.plugins.registry import QUARANTINE_AFTER, Registry
from neurdicom.plugins.versions import PluginVersion
from neurdicom.workers.program import ToolLimits
from tests.support.packages import meta


def version(digest: str, **fields: Any) -> PluginVersion:
    return PluginVersion(manifest_of(meta(**fields)), "python", "plugin.py", digest, "2024-01-01T00:00:00+00:00")


Plugins = Registry[PluginVersion]


@pytest.fixture
def idle() -> list[str]:
    return []


@pytest.fixture
def registry(idle: list[str]) -> Registry[PluginVersion]:
    return Registry(idle.append)


def test_a_replaced_version_goes_when_its_last_request_has_its_answer(registry: Plugins, idle: list[str]) -> None:
    registry.put(version("a"))
    with registry.hold("a"), registry.hold("a"):
        registry.put(version("b"))
        assert registry.get("test.plugin").digest == "b"
        assert idle == []
    assert idle == ["a"]


def test_a_removed_version_goes_at_once_when_nobody_holds_it(registry: Plugins, idle: list[str]) -> None:
    registry.put(version("a"))
    registry.remove("test.plugin")
    assert idle == ["a"]
    for act in (registry.get, registry.remove):
        with pytest.raises(NotFound):
            act("test.plugin")


def test_an_upload_that_failed_goes_unless_it_is_what_is_installed(registry: Plugins, idle: list[str]) -> None:
    registry.put(version("a"))
    for digest in ("a", "b"):
        with registry.hold(digest):
            pass
    assert idle == ["b"]


def test_failures_at_load_in_a_row_quarantine(registry: Plugins) -> None:
    plugin = version("a")
    registry.put(plugin)
    for _ in range(QUARANTINE_AFTER - 1):
        assert registry.record_failure(plugin, PluginCrashed("SIGSEGV")) is None
    registry.record_success("a")
    error = PluginCrashed("SIGSEGV")
    for _ in range(5):  # one failed load, and five requests that waited for it
        assert registry.record_failure(plugin, error) is None
    assert registry.record_failure(plugin, PluginCrashed("SIGSEGV")) is None
    quarantined = registry.record_failure(plugin, PluginCrashed("SIGBUS"))
    assert quarantined is not None
    assert registry.get(plugin.id) is quarantined
    assert quarantined.to_api()["state"] == "quarantined"
    assert "SIGBUS" in quarantined.to_api()["problem"]
    with pytest.raises(PluginQuarantined, match="SIGBUS"):
        registry.check_ready(quarantined)
    registry.put(version("a"))
    registry.check_ready(registry.get(plugin.id))


def test_failures_of_a_version_that_was_replaced_do_not_count(registry: Plugins) -> None:
    old = version("a")
    registry.put(old)
    registry.put(version("b"))
    for _ in range(QUARANTINE_AFTER):
        assert registry.record_failure(old, PluginCrashed("SIGSEGV")) is None


def test_a_document_brings_back_the_plugin() -> None:
    plugin = version("a", params={"a.b": {"type": "int", "default": 1}}, **{"$extra": {"x.y": [1]}}, version=2)
    assert PluginVersion.from_document(plugin.to_document()) == plugin


def test_limits_are_what_the_author_asks_for_below_the_cap(tmp_path: Any) -> None:
    capped = version("a", timeout=100, memory=10_000).program(tmp_path, ToolLimits(timeout=60, memory=2048))
    assert (capped.timeout, capped.memory) == (60, 2048)
    asked = version("a", timeout=1.5, memory=100).program(tmp_path, ToolLimits(timeout=60, memory=2048))
    assert (asked.timeout, asked.memory) == (1.5, 100)
