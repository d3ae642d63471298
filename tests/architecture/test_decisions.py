"""Decisions have a number, a date and a status, name files that are there, and say the numbers that the code has."""

import re
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.documents import Documents
from neurdicom.dicom.part10 import read_header
from neurdicom.plugins.service import ModelService, PluginService
from tests.support.checkout import CHECKOUT

FOLDER = CHECKOUT / "docs" / "decisions"
PAGES = sorted(page for page in FOLDER.glob("*.md") if page.name != "index.md")

HEAD = re.compile(
    r"# (?P<number>[1-9]\d*)\. (?P<title>\S.*)\n\n"
    r"Date: (?P<date>\d{4}-\d{2}-\d{2})(?: \(changed (?P<changed>\d{4}-\d{2}-\d{2})\))?\. "
    r"Status: (?P<status>accepted|superseded by \[.+\]\(.+\.md\))\. "
    r"Held by: (?P<tests>`tests/[^`]+`(?:, `tests/[^`]+`)*)\.\n\n"
)

#: Media types, routes, and folders of the data folder.
OF_OTHER_KINDS = ("/", "image/", "text/", "application/", "plugins/", "models/", "results/")

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

#: Page, what it says, the constant that it says it of, and the value.
SAYS: list[tuple[str, str, str, Any]] = [
    ("access", "next 5 seconds", "security.authentication:CACHE_SECONDS", 5.0),
    ("access", "remembered for 5 minutes", "security.basic:VERIFIED_SECONDS", 300.0),
    ("access", "looked at every 5 seconds", "security.basic:ACCOUNT_SECONDS", 5.0),
    ("access", "in two threads", "security.passwords:_PARALLEL", 2),
    ("access", "thrown away for 10 seconds", "http.early:LINGER_SECONDS", 10.0),
    ("backup", "lease of 60 seconds", "coordination:LEASE_SECONDS", 60.0),
    ("backup", "looks every 2 seconds", "archive.hold:POLL_SECONDS", 2.0),
    ("catalog", "zlib level 1", "catalog.sqlite.entities:COMPRESSION", 1),
    ("dask", "4 MiB at a time", "workers.dask.transfer:_PIECE", 4 * MIB),
    ("dask", "longer than 5 seconds", "workers.dask.executor:PATIENCE", 5.0),
    ("dicom-headers", "1 KiB (bytes)", "dicom.codec.dictionary:STREAM_LIMIT", KIB),
    ("dicom-headers", "16 KiB (binary numbers)", "dicom.codec.dictionary:NUMBERS_LIMIT", 16 * KIB),
    ("dicom-headers", "1 MiB (text)", "dicom.codec.dictionary:TEXT_LIMIT", MIB),
    ("dicom-headers", "past 16 MiB of kept values", "dicom.codec.scan:MAX_KEPT", 16 * MIB),
    ("dicom-headers", "may have 4,194,304 items", "dicom.codec.scan:MAX_ITEMS", 4_194_304),
    ("dicom-headers", "384 MiB of text in a sequence", "dicom.codec.scan:MAX_TEXT", 384 * MIB),
    ("dicom-headers", "up to 4,194,304 of them", "dicom.codec.pixel_end:MAX_FRAGMENTS", 4_194_304),
    ("dimse", "128 KiB at a time", "dimse.ul.exchange:LARGEST_PDU", 128 * KIB),
    ("ingest", "files over 1 MiB are spilled", "archive.ingest.service:HELD_BYTES", MIB),
    ("ingest", "for a millisecond at most", "archive.ingest.commit:DELAY_SECONDS", 0.001),
    ("ingest", "two minutes later", "archive.ingest.commit:UNKNOWN_SECONDS", 120.0),
    ("ingest", "up to eight of them", "archive.upload.results:AT_ONCE", 8),
    ("ingest", "1 GiB plus", "archive.upload.zip:UNPACKED_BYTES", GIB),
    ("ingest", "a hundred times", "archive.upload.zip:UNPACKED_RATIO", 100),
    ("ingest", "32 KiB that are fed at a time", "archive.upload.body:_SLICE", 32 * KIB),
    ("labels", "1 to 64 letters", "dicom.query.labels:LONGEST_LABEL", 64),
    ("labels", "has at most 64", "archive.labels.service:MOST_LABELS", 64),
    ("requests", "at most 1 MiB", "http.operation:MAX_JSON", MIB),
    ("requests", "from 1 KiB on", "http.bodies:LARGE_BODY", KIB),
    ("results", "more than 10,000 characters or items", "workers.arguments:_LARGE", 10_000),
    ("requests", "more than 10,000 items or characters", "workers.arguments:_LARGE", 10_000),
    ("requests", "at most 1024 keys in all", "dicom.query.named_keys:MOST_KEYS_IN_ALL", 1024),
    ("jobs", "documents of 500", "jobs.items:CHUNK", 500),
    ("jobs", "Three such failures in a row", "jobs.execution:_GIVE_UP_FOR_NOW", 3),
    ("jobs", "renew it every 10", "jobs.service:WATCH_SECONDS", 10.0),
    ("jobs", "for 60.", "coordination:LEASE_SECONDS", 60.0),
    ("jobs", "of processing\nfive times", "processing.jobs:ProcessRunner.save_seconds", 0.2),
    ("jobs", "beyond the first 100", "jobs.job:MAX_ERRORS", 100),
    ("jobs", "16 MiB or 50 instances", "dicomweb.client.send:_BYTES", 16 * MIB),
    ("jobs", "16 MiB or 50 instances", "dicomweb.client.send:_INSTANCES", 50),
    ("jobs", "one look a second", "jobs.events:LOOK_SECONDS", 1.0),
    ("pixels", "at most 2^28 samples", "pixels.decode.image_pixel:MAX_SAMPLES", 1 << 28),
    ("plugins", "Three failed loads in a row", "plugins.registry:QUARANTINE_AFTER", 3),
    ("plugins", "up to a ZIP within it", "workers.packages.nested_zip:MAX_NESTING", 2),
    ("results", "at most 64 MiB", "processing.result_records:MOST_BYTES", 64 * MIB),
    ("results", "1000 results", "processing.result_records:MOST_WAITING", 1000),
    ("results", "JSON up to\n64 KiB lies in the record", "processing.result_files:_INLINE", 64 * KIB),
    ("results", "a tenth of the limit at once", "processing.result_files:_LEFT", 0.9),
    ("results", "At most 2000 terms", "processing.value_query:MOST_VALUES", 2000),
    ("results", "at most 256 characters", "catalog.terms:LONGEST", 256),
    ("store", "three reasons at most", "dicomweb.store:_MOST_REASONS", 3),
    ("store", "16 MiB a body", "archive.upload.bulk:MAX_METADATA", 16 * MIB),
    ("trash", "looks every 2 seconds", "archive.quota.service:LOOK_SECONDS", 2.0),
    ("trash", "checks everything every 60", "archive.quota.service:CHECK_SECONDS", 60.0),
    ("trash", "last 5 minutes", "archive.quota.enforcer:RECENT_SECONDS", 300.0),
    ("trash", "last 10 seconds", "archive.quota.enforcer:ARRIVING_SECONDS", 10.0),
    ("catalog", "in 16 documents", "catalog.mongo.holdings:_SHARDS", 16),
    ("volumes", "parts of 16 MiB", "workers.volumes:_PART", 16 * MIB),
    ("workers", "**Bodies of 64 KiB", "workers.protocol:MAX_INLINE", 64 * KIB),
    ("workers", "more than 4 MiB", "workers.arena:SIZE", 4 * MIB),
    ("workers", "RLIMIT_DATA lies 1 GiB", "workers.limits:RESERVE", GIB),
    ("workers", "at least 250 ms", "workers.run:GRACE", 0.25),
    ("workers", "as take 20 ms", "workers.scheduler:AIM", 0.02),
    ("workers", "at most 16.", "workers.scheduler:_LARGEST", 16),
]


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_has_a_number_a_date_a_status_and_tests(page: Path) -> None:
    found = HEAD.match(page.read_text(encoding="utf-8"))
    assert found, f"{page.name} does not begin with a number, a date, a status and the tests that hold it"
    assert (found["changed"] or found["date"]) >= found["date"]
    for test in re.findall(r"`([^`]+)`", found["tests"]):
        assert (CHECKOUT / test).exists(), f"{page.name} names {test}"


def test_the_index_tells_the_same() -> None:
    index = (FOLDER / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\d+) \| \[(.+)\]\((\S+)\) \| (\S+) \| (\S*) ?\| (.+) \|$", index, re.MULTILINE)
    found = []
    for page in PAGES:
        head = HEAD.match(page.read_text(encoding="utf-8"))
        assert head
        found.append((head["number"], head["title"], page.name, head["date"], head["changed"] or "", head["status"]))
    assert listed == sorted(found, key=lambda row: int(row[0]))
    assert [int(row[0]) for row in listed] == [*range(1, len(PAGES) + 1)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_that_are_named_are_there(page: Path) -> None:
    names = re.findall(r"`([\w./-]+)`", page.read_text(encoding="utf-8"))
    for name in names:
        if "/" not in name or name.startswith(OF_OTHER_KINDS) or name.endswith("/"):
            continue
        places = (CHECKOUT, CHECKOUT / "neurdicom", CHECKOUT / "neurdicom" / "dimse")
        assert any((place / f"{name}{end}").exists() for place in places for end in ("", ".py")), name


@pytest.mark.parametrize(("page", "words", "constant", "value"), SAYS, ids=lambda value: str(value)[:40])
def test_numbers_are_those_of_the_code(page: str, words: str, constant: str, value: Any) -> None:
    assert words in text_of(page), f"{page}.md does not say {words!r} any more: change this test with it"
    module, _, name = constant.partition(":")
    assert attrgetter(name)(import_module(f"neurdicom.{module}")) == value, f"{page}.md says {words!r}"


def test_an_adapter_writes_as_many_verbs_as_the_page_says() -> None:
    verbs = len(Catalog.__abstractmethods__), len(Documents.__abstractmethods__)
    assert f"writes the abstract verbs, {verbs[0]} and {verbs[1]}" in text_of("catalog")


def test_elements_after_encapsulated_pixels_are_read(tmp_path: Path) -> None:
    """Read on past encapsulated pixels, as dicom-headers.md says; tests/dicom/test_truncation.py has cut-off ones."""
    file = tmp_path / "after.dcm"
    ds = pydicom.dcmread(str(get_testdata_file("JPEG2000.dcm")))
    ds.add_new(0x7FE10010, "LO", "NEURDICOM TEST")
    ds.add_new(0x7FE11001, "LO", "after the pixels")
    ds.save_as(file)
    assert b"after the pixels" in read_header(file).json


def test_the_diagram_of_documents_has_every_kind() -> None:
    """Its module is named beside each; nobody else writes documents, but for leases and what stable series need."""
    page = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r'^    (\w+) \{ key \S+ "([\w/]+)', page, re.MULTILINE))
    kinds = {
        "user": "security.accounts:_KIND",
        "token": "security.tokens:_KIND",
        "job": "jobs.store:JOBS",
        "job_items": "jobs.store:_ITEMS",
        "job_log": "jobs.store:_LOGS",
        "job_lease": "jobs.lease:_KIND",
        "dicom_node": "nodes.service:_KIND",
        "rule": "rules.service:KIND",
        "rule_runs": "rules.runs:KIND",
        "growing_series": "rules.tracker:KIND",
        "result": "processing.result_records:DOCUMENTS",
        "deletion_hold": "archive.hold:KIND",
        "trash": "archive.trash.records:KIND",
        "restored_study": "archive.trash.restored:KIND",
        "quota": "archive.quota.service:KIND",
        "result_aside": "processing.results_aside:KIND",
        "label": "archive.labels.store:KIND",
        "label_aside": "archive.labels.aside:KIND",
        "label_name": "archive.labels.store:NAME_KIND",
        "migration": "app.migration:KIND",
        "damage": "archive.verify.registry:KIND",
        "verification": "archive.verify.verification:KIND",
    }
    for kind, constant in kinds.items():
        module, _, name = constant.partition(":")
        assert getattr(import_module(f"neurdicom.{module}"), name) == kind
        assert shown.pop(kind) == module.replace(".", "/")
    for kind, service in (("plugin", PluginService), ("model", ModelService)):
        assert service.noun == kind
        assert shown.pop(kind) == "plugins/service"
    assert shown == {}
    modules = [path for path in (CHECKOUT / "neurdicom").rglob("*.py") if not {"catalog", "testing"} & {*path.parts}]
    users = {path for path in modules if re.search(r"ocuments\.(put|add|swap)\(", path.read_text(encoding="utf-8"))}
    named = {f"neurdicom/{each.partition(':')[0].replace('.', '/')}.py" for each in kinds.values()}
    others = {path.relative_to(CHECKOUT).as_posix() for path in users} - named
    known = {
        "neurdicom/archive/verify/periodic.py",
        "neurdicom/plugins/service.py",
        "neurdicom/rules/stable.py",
        "neurdicom/coordination.py",
        "neurdicom/processing/results_migration.py",
        "neurdicom/rules/migration.py",
    }
    assert others == known, "another module writes documents: the diagram should have its kind"


def test_the_versions_of_the_documentation_s_tools_are_those_of_the_decision() -> None:
    text = text_of("documentation")
    (zensical,) = re.findall(r'"zensical==([\d.]+)"', (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    assert f"Version {zensical}, and no other" in text
    build = (CHECKOUT / "docs" / "build.py").read_text(encoding="utf-8")
    (mermaid,) = re.findall(r'^MERMAID = "(\d+)\.[\d.]+"$', build, re.MULTILINE)
    assert f"Mermaid {mermaid} comes from npm" in text
