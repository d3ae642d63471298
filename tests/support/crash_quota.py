"""Rounds of a crash test with a quota in force: what is protected stays, and what goes goes by way of the trash."""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurdicom.testing.crash.check import CrashCheck
from neurdicom.testing.crash.ledger import QuotaLedger, digests
from neurdicom.testing.crash.recyclers import Protector
from neurdicom.testing.crash.users import Deleter, Processor, Searcher, StudyMover, Verifier
from neurdicom.testing.crash.writers import FormWriter, RawWriter, Resender, StowWriter, ZipWriter
from tests.support.crashes import CrashRounds
from tests.support.dimse.crash_actors import DimseWriter, Retriever

#: Actors that go on where any study may be gone; the trash, which the others use, is emptied as well.
ACTORS = (
    *(RawWriter, FormWriter, ZipWriter, StowWriter, DimseWriter, Retriever, Resender),
    *(Deleter, StudyMover, Searcher, Processor, Verifier, Protector),
)

#: Limits of which each round has enough to delete, and what a study needs to be one that nothing arrives for.
STORAGE = ("--max-storage", "0.1", "--stable-seconds", "2")
AGE = ("--max-age-days", "0.00004", "--stable-seconds", "2")

_TAKEN = re.compile(r"the study (\S+) \(\S+ MiB\) was deleted: ")

#: Seconds without a change after which a quota has nothing more to delete, and after which it should have begun.
QUIET = 2.0
SECONDS = 60.0

#: Studies that are on their way to the trash when a server is killed, one for each of its starts in a round.
_KILLED = 2


class QuotaRounds(CrashRounds):
    """Rounds on one data folder of a server with a quota.

    Parameters
    ----------
    folder : Path
        For the data of the server and of the node.
    seed : int
        Of all choices.
    limits : sequence of str
        The options of the quota.
    options : sequence of str
        Further options of the server.

    Attributes
    ----------
    taken : int
        Instances that the quota has deleted.
    """

    def __init__(self, folder: Path, seed: int, limits: Sequence[str], options: Sequence[str] = ()) -> None:
        super().__init__(folder, seed, (*limits, *options))
        self.kinds = ACTORS
        self.site.ledger = QuotaLedger()
        self._is_emptied = "--max-storage" in limits
        self._in_trash: set[str] = set()
        self.taken = 0

    def run(self) -> str:
        """Run one round, and say what happened; fails with what is wrong."""
        said = super().run()
        labels = self.site.ledger.labels()
        for holding in self.site.holdings.instances():
            if not labels.get(holding.sample.study):  # it was not protected before the server was killed
                self.site.holdings.note(holding.sample, (*holding.files, None))
        return f"{said}; {self.taken} were deleted"

    def become_quiet(self) -> None:
        """Wait until the quota has nothing more to delete, too."""
        super().become_quiet()
        since, before = time.monotonic(), self._used()
        while time.monotonic() - since < QUIET or not self._is_within():
            assert time.monotonic() - since < SECONDS, f"the quota is not kept: {before}"
            time.sleep(0.1)
            if (now := self._used()) != before:
                since, before = time.monotonic(), now
        files = [path for path in (self.server.files / "blobs" / "trash").rglob("*") if path.is_file()]
        self._in_trash = {digest for path in files for digest in digests(path.read_bytes())}

    def _used(self) -> dict[str, Any]:
        storage = self.server.client.get("/api/storage").json()
        return {kind: storage[kind] for kind in ("instances", "trash", "quota", "results")}

    def _is_within(self) -> bool:
        quota = self._used()["quota"]
        if self._is_emptied:
            return bool(quota["used"] <= quota["max_storage"] or quota["alert"])
        return len(self.server.client.get("/api/studies?limit=1000").json()) == quota["protected"]["count"]

    def further_faults(self, check: CrashCheck) -> list[str]:
        """Find what is gone and neither lies in the trash nor was emptied from there, as the log says."""
        ledger = self.site.ledger
        gone = {uid: files for uid, files in ledger.acknowledged().items() if uid not in check.there}
        self.taken += len(gone)
        lost = {uid for uid, files in gone.items() if not files & self._in_trash}
        logged = {study.partition("~")[0] for study in _TAKEN.findall(self.log)} if self._is_emptied else set[str]()
        studies = {ledger.samples[uid].study for uid in lost} - logged
        if len(studies) <= (_KILLED if self._is_emptied else 0):
            return []
        instances = sorted(uid for uid in lost if ledger.samples[uid].study in studies)
        return [f"the instances {instances} were acknowledged, and no trash has had them"]
