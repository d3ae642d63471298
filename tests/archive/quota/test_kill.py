"""Servers that are killed or stopped while the quota deletes: each study is whole, in use, in the trash, or gone."""

import random
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.support.quota import PIXELS, ServerMaker, entries, storage, store, studies_of
from tests.support.server import Server
from tests.support.trash import files_in
from tests.support.waiting import wait_for

STUDIES = range(1, 11)
#: MiB in which two studies have room.
ROOM = "1.1"


def all_files(server: Server) -> list[Path]:
    """Files of instances and of the trash; none while a folder goes."""
    with suppress(FileNotFoundError):
        return files_in(server, "objects") + files_in(server, "trash")
    return []


def check(server: Server) -> None:
    """Each study is whole in one place, and each file is of one of these."""
    there = server.client.get("/api/studies", params={"limit": 1000}).json()
    trash = entries(server)
    assert {one["images_count"] for one in there} <= {2}
    assert {one["instances"] for one in trash} <= {2}
    uids = [one["id"] for one in there] + [one["uids"]["study_instance_uid"] for one in trash]
    assert len(uids) == len(set(uids))
    assert len(files_in(server, "objects")) == 2 * len(there)
    assert len(files_in(server, "trash")) == 2 * len(trash)
    shown = storage(server)
    assert shown["instances"]["count"] == 2 * len(there)
    assert 2 * len(there) * PIXELS <= shown["instances"]["bytes"] < 2 * len(there) * (PIXELS + 4096)
    assert shown["trash"]["bytes"] == sum(one["bytes"] for one in trash)
    for one in there:
        for instance in server.client.get("/api/instances", params={"study": one["id"]}).json():
            assert len(server.client.get(f"/api/instances/{instance['id']}/file").content) == instance["size"]


@pytest.mark.parametrize(("seed", "stops"), [(1, False), (2, False), (3, True)])
def test_what_a_kill_or_a_stop_leaves(make_server: ServerMaker, seed: int, stops: bool) -> None:
    chance = random.Random(seed)
    server = make_server()
    store(server, *STUDIES)
    server = make_server("--max-storage", ROOM)
    gone = chance.randrange(8)
    with suppress(httpx.HTTPError):
        wait_for(
            lambda: len(studies_of(server)) + len(entries(server)), "studies to go", holds=lambda n: n <= 10 - gone
        )
    time.sleep(chance.random() / 50)
    if stops:
        assert server.stop() == 0
        assert "Traceback" not in server.log
    else:
        server.kill()
    server = make_server()
    check(server)
    server = make_server("--max-storage", ROOM)
    wait_for(lambda: studies_of(server), "room", holds=lambda found: found == [9, 10])
    wait_for(lambda: all_files(server), "room", holds=lambda files: len(files) == 4)
    wait_for(lambda: storage(server)["trash"]["bytes"], "an empty trash", holds=lambda size: size == 0)
    check(server)
