"""Answers of any size are streamed, page by page."""

import asyncio
import gzip
import json
from collections.abc import Iterator

import httpx
import pytest

from neurdicom.catalog.sqlite import SqliteCatalog
from neurdicom.testing.arrivals import arrival
from tests.support.server import Server

COUNT = 1300


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with more instances in its catalog than a page holds; their files are not asked for."""
    folder = tmp_path_factory.mktemp("large")

    async def fill() -> None:
        catalog = SqliteCatalog(folder / "catalog.sqlite")
        await catalog.open()
        await catalog.store([arrival(number, series=f"1.2.1.{number % 7}") for number in range(COUNT)])
        await catalog.close()

    asyncio.run(fill())
    with Server(folder) as server:
        yield server


def uids(answer: httpx.Response) -> list[str]:
    return [match["00080018"]["Value"][0] for match in answer.json()]


def test_everything_comes_without_a_limit(large: Server) -> None:
    found = uids(large.client.get("/dicom-web/instances"))
    assert found == sorted(f"1.9.{number}" for number in range(COUNT))
    for query, expected in (
        ("limit=700", found[:700]),
        ("limit=700&offset=650", found[650:]),
        ("offset=10", found[10:]),
        ("limit=500&offset=499", found[499:999]),
    ):
        assert uids(large.client.get(f"/dicom-web/instances?{query}")) == expected, query


def test_streams_are_compressed(large: Server) -> None:
    with large.client.stream("GET", "/dicom-web/instances", headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(raw))) == COUNT


def test_head_of_a_stream(large: Server) -> None:
    answer = large.client.head("/dicom-web/instances")
    assert (answer.status_code, answer.content) == (200, b"")
    assert "Content-Length" not in answer.headers
    assert large.client.get("/dicom-web/studies").status_code == 200


def test_a_client_that_goes_away_harms_nobody(large: Server) -> None:
    with large.client.stream("GET", "/dicom-web/instances") as answer:
        next(answer.iter_raw())
    assert len(uids(large.client.get("/dicom-web/instances?InstanceNumber=7"))) == 1
    assert "Traceback" not in large.log
