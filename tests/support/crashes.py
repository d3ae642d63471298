"""Rounds of a crash test: actors use a server, which or a process of which is killed, and what is left is checked."""

import contextlib
import os
import random
import re
import signal
import time
from collections import deque
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Self

from neurdicom.testing.crash.actors import Actor, CrashSite
from neurdicom.testing.crash.check import CrashCheck
from neurdicom.testing.crash.connection import ServerConnection
from neurdicom.testing.crash.ledger import Ledger
from neurdicom.testing.crash.movers import PatientMerger, SeriesMover, StudySplitter, TwinMover
from neurdicom.testing.crash.recyclers import Recycler, Reviser, Scavenger, TwinStower, TwinUploader
from neurdicom.testing.crash.users import Deleter, Editor, Labeller, Processor, Searcher, StudyMover, Verifier
from neurdicom.testing.crash.writers import FormWriter, RawWriter, Resender, StowWriter, ZipWriter
from tests.support.dimse.crash_actors import DimseWriter, Retriever, TwinSender, add_nodes
from tests.support.files import ROOT, dicom_file
from tests.support.packages import package
from tests.support.server import Server
from tests.support.waiting import wait_for

ACTORS: Sequence[type[Actor]] = (
    RawWriter,
    FormWriter,
    ZipWriter,
    StowWriter,
    DimseWriter,
    Retriever,
    Deleter,
    Editor,
    Labeller,
    StudyMover,
    Searcher,
    Processor,
    Resender,
    Verifier,
    Recycler,
    Reviser,
    TwinUploader,
    TwinStower,
    TwinSender,
    Scavenger,
    PatientMerger,
    StudySplitter,
    SeriesMover,
    TwinMover,
)

#: What is killed; a server most often.
VICTIMS = ("server", "server", "server", "dimse", "worker")

#: Acts that are answered before something is killed, and seconds after them, so that it is in the middle of others.
ACTS = (1, 250)
BEFORE = (0.0, 0.1)

#: Seconds that the actors have after a part of the server was killed.
AFTER = 0.5

#: Requests that are refused before a disk or a catalog is mended.
REFUSED = 20

#: Share of the starts that are killed, too, and seconds after which they are: some while they recover.
START_KILLED = 0.3
START_SECONDS = (0.02, 0.4)

#: One of so many instances is large: its bytes go to the spool as they come.
LARGE_EVERY = 40
LARGE = 1_300_000

PLUGIN = """
class Plugin:
    def init(self): pass
    def process(self, ds=None, **parameters): return ds.pixel_array * 2.0
    def destroy(self): pass
"""

#: Lines of a server's log that tell of a defect.
DEFECTS = re.compile(r"Traceback|internal error|Task exception was never retrieved|never awaited")


class CrashRounds:
    """Rounds on one data folder.

    Parameters
    ----------
    folder : Path
        For the data of the server and of the node.
    seed : int
        Of all choices. The same one makes the same choices; what happens at a moment differs, as processes do.
    options : sequence of str
        Of the server.
    kind : type of Server
        Its kind.

    Attributes
    ----------
    kinds : sequence of type of Actor
        The actors.
    """

    def __init__(self, folder: Path, seed: int, options: Sequence[str] = (), kind: type[Server] = Server) -> None:
        self.seed = seed
        folder.mkdir(exist_ok=True)
        self.node = Server.with_dimse(folder / "node", "--dimse-accept", "any", "--ae-title", "NODE")
        self.server = kind.with_dimse(
            folder / "data", "--dimse-accept", "any", "--dimse-processes", "2", "--plugin-workers", "2", *options
        )
        self.server.output = deque(maxlen=200_000)  # all of it
        self.site = CrashSite("", Ledger(), make_file, f"{ROOT}.4711")
        self.kinds = ACTORS
        self._round = 0
        self._log = ""

    def __enter__(self) -> Self:
        self._start()  # first: it may skip the test
        self.node.start()
        add_nodes(self.site, self.node.url, self.node.dimse_port)
        ours = {"name": "server", "protocol": "DIMSE", "ae_title": "NEURDICOM", "host": "127.0.0.1"}
        answer = self.node.client.post("/api/dicom_nodes", json=ours | {"port": self.server.dimse_port})
        assert answer.status_code == 201, answer.text
        headers = {"Content-Type": "application/zip"}
        answer = self.server.client.post("/api/plugins", content=package(PLUGIN), headers=headers)
        assert answer.status_code == 201, answer.text
        return self

    def __exit__(self, *_: object) -> None:
        self.server.kill()
        self.node.stop()

    def run(self) -> str:
        """Run one round, and say what happened; fails with what is wrong."""
        self._round += 1
        choices = random.Random(f"{self.seed} {self._round}")
        victim = choices.choice(VICTIMS)
        actors = self._actors()
        for actor in actors:
            actor.start()
        acts = choices.randint(*ACTS)
        wait_for(lambda: sum(actor.acts for actor in actors) >= acts, f"{acts} acts")
        time.sleep(choices.uniform(*BEFORE))
        if victim == "server":
            self._stop(actors, wait=False)
            self.server.kill()
            self._stop(actors)
            self._keep_log()
            if choices.random() < START_KILLED:
                self.server.begin_start()
                time.sleep(choices.uniform(*START_SECONDS))
                self.server.kill()
            self._start()
        else:
            self._kill_part(victim, choices, actors)
        return self._check(f"{victim} killed", actors)

    def run_through(
        self, trouble: contextlib.AbstractContextManager[None], refusals: Collection[int], *, restart: bool = False
    ) -> str:
        """Run one round in which the server can't do everything for a while, and goes on by itself; as `run`.

        Parameters
        ----------
        trouble : context manager
            What is wrong with its disk or its catalog.
        refusals : collection of int
            Statuses of HTTP with which it refuses meanwhile.
        restart : bool
            Start it again before the check, which finishes what it leaves for later.
        """
        self._round += 1
        actors = self._actors()
        for actor in actors:
            actor.start()
        self._wait_for_acts(actors)
        self.site.refusals = frozenset(refusals)
        with trouble:
            wait_for(lambda: self.site.refused.total() > REFUSED, "requests to be refused")
        self._wait_for_acts(actors)
        self._stop(actors)
        self.site.refusals = frozenset()
        if restart:
            self.server.kill()
            self._keep_log()
            self._start()
        return self._check(f"refused {dict(self.site.refused)}", actors)

    def _check(self, what: str, actors: Sequence[Actor]) -> str:
        self.become_quiet()
        http = ServerConnection(self.site.url)
        check = CrashCheck(http, self.site, self.server.files)
        check.run()
        http.close()
        found = check.faults + self.further_faults(check)
        log = self.log
        faults = self.site.faults + found + [line for line in log.splitlines() if DEFECTS.search(line)]
        instances = len(check.there) + len(check.held) + sum(len(one.files) for one in check.places.there.values())
        said = (
            f"round {self._round}, seed {self.seed}: {what}, {sum(actor.acts for actor in actors)} acts; "
            f"{instances} instances are there"
        )
        assert not faults, "\n".join([said, *faults[:40], "", *remarkable(log)[-30:]])
        self.site.holdings.restart(check.held)
        self.site.places.restart(check.places.there)
        self.site.ledger.restart(check.there, check.descriptions, check.labels, check.patients)
        return said

    def further_faults(self, check: CrashCheck) -> list[str]:
        """Find what else is wrong, before the ledger begins anew."""
        return []

    @property
    def log(self) -> str:
        """The server's log of this round."""
        return self._log + self.server.log

    def _start(self) -> None:
        self.server.start()
        self.site.url = self.server.url

    def _keep_log(self) -> None:
        self._log = self.server.log
        self.server.output.clear()

    def _actors(self) -> list[Actor]:
        DimseWriter.port = TwinSender.port = self.server.dimse_port
        Retriever.node_url = self.node.url
        first = self._round * 10_000
        return [kind(self.site, place, first, f"{self.seed} {self._round}") for place, kind in enumerate(self.kinds)]

    def _stop(self, actors: Sequence[Actor], *, wait: bool = True) -> None:
        for actor in actors:
            actor.stop()
        for actor in actors if wait else ():
            actor.join()

    def _kill_part(self, victim: str, choices: random.Random, actors: Sequence[Actor]) -> None:
        """Kill a process of the server; it goes on, and each actor is served again."""
        pids = list(parts_of(self.server)[victim])
        if pids:
            os.kill(choices.choice(pids), signal.SIGKILL)
        time.sleep(AFTER)
        self._wait_for_acts(actors)
        self._stop(actors)

    def _wait_for_acts(self, actors: Sequence[Actor]) -> None:
        """Wait until each actor is served."""
        before = {actor: actor.acts for actor in actors}

        def not_served() -> list[str]:
            return [actor.name for actor in actors if actor.acts == before[actor]]

        wait_for(not_served, "all actors to be served", 60, holds=lambda names: not names)

    def become_quiet(self) -> None:
        """End the jobs, and wait until nothing is under way."""
        for state in ("running", "queued"):
            for job in self.server.client.get("/api/jobs", params={"state": state}).json():
                self.server.client.delete(f"/api/jobs/{job['id']}")
        wait_for(lambda: self._count("running") == 0 == self._count("queued"), "all jobs to end")
        self.server.wait_for_empty_spool()
        wait_for(lambda: self.server.client.get("/api/health").json()["dimse"]["associations"] == 0, "no association")

    def _count(self, state: str) -> int:
        return len(self.server.client.get("/api/jobs", params={"state": state}).json())


def remarkable(log: str) -> list[str]:
    """Lines of a server's log but those of what went well."""
    return [line for line in log.splitlines() if not re.match(r"\S+ INFO ", line)]


def make_file(patient_id: str, study: str, series: str, instance: str, comment: str) -> bytes:
    """Make a small image, and some larger ones."""
    number = int(instance.rsplit(".", 1)[1])
    large: dict[str, Any] = (
        {"PixelData": bytes(LARGE), "NumberOfFrames": LARGE // 16} if number % LARGE_EVERY == 0 else {}
    )
    return dicom_file(
        patient=patient_id,
        StudyInstanceUID=study,
        SeriesInstanceUID=series,
        SOPInstanceUID=instance,
        ImageComments=comment or None,
        **large,
    )


def parts_of(server: Server) -> dict[str, list[int]]:
    """Process ids of a server's DIMSE processes and workers."""
    parents: dict[int, int] = {}
    commands: dict[int, bytes] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                commands[int(entry.name)] = (entry / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
    children = [pid for pid, parent in parents.items() if parent == server.process.pid]
    return {
        "dimse": [pid for pid in children if b"neurdicom.dimse" in commands[pid]],
        "worker": [pid for pid, parent in parents.items() if parent in children],
    }
