"""Slides of more frames than fit in half a million items: stored, described and given."""

from pathlib import Path

import pytest

from tests.support.api import upload
from tests.support.server import Server
from tests.support.slides import sparse_slide

FRAMES = 140_000
PATH = "/dicom-web/studies/1.2.3/series/1.2.3.4/instances/1.2.3.4.5"


@pytest.mark.slow
def test_a_sparse_slide(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        client = server.client
        upload(client, sparse_slide(FRAMES))
        (metadata,) = client.get(f"{PATH}/metadata", timeout=120).json()
        groups = metadata["52009230"]["Value"]
        assert len(groups) == FRAMES
        last = groups[-1]["0048021A"]["Value"][0]
        assert (last["0048021E"]["Value"], last["0048021F"]["Value"]) == ([1000], [140])
        accept = {"Accept": "application/octet-stream"}
        for number in (1, 2, FRAMES):
            frame = client.get(f"{PATH}/frames/{number}", headers=accept, timeout=120)
            assert frame.content == bytes([(number - 1) % 251])
        (found,) = client.get("/dicom-web/instances", params={"SOPInstanceUID": "1.2.3.4.5"}).json()
        assert found["00280008"]["Value"] == [FRAMES]
