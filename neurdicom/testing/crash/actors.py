"""Base of the actors of a crash test, each of which uses the server again and again in a thread of its own."""

import random
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from neurdicom.testing.crash.connection import ServerAnswer, ServerConnection, ServerLost
from neurdicom.testing.crash.holdings import KnownHoldings
from neurdicom.testing.crash.ledger import Ledger, SampleInstance
from neurdicom.testing.crash.places import KnownPlaces

#: Seconds between two requests of an actor, at most; and before it tries again to reach a server that is gone.
PAUSE = 0.02
AGAIN = 0.05


class ServerRefused(Exception):
    """The server says that it can't now: nothing is acknowledged, and it is tried again."""


@dataclass
class CrashSite:
    """Server under test with the records that the actors of one run share.

    Attributes
    ----------
    url : str
        URL of the server; another one after each start.
    ledger : Ledger
        Record of the requests and their acknowledgements.
    holdings : KnownHoldings
        Record of the instances that one actor alone changes.
    places : KnownPlaces
        Record of the places of instances that one actor alone moves.
    make : callable
        Makes a file from a Patient ID, the UIDs of study, series and instance, and a comment that changes its bytes.
    root : str
        Root of the UIDs.
    refusals : frozenset of int
        Statuses with which the server may refuse anything, with Retry-After; none unless its disk or its catalog is
        made to fail.
    refused : Counter of int
        Number of its refusals, by status.
    faults : list of str
        Sentences about what is wrong.
    """

    url: str
    ledger: Ledger
    make: Callable[[str, str, str, str, str], bytes]
    root: str
    holdings: KnownHoldings = field(default_factory=KnownHoldings)
    places: KnownPlaces = field(default_factory=KnownPlaces)
    refusals: frozenset[int] = frozenset()
    refused: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def report(self, fault: str) -> None:
        """Record what is wrong; any thread may."""
        self.faults.append(fault)


class Actor(ABC):
    """An actor, which does its act again and again until it is stopped; a subclass implements `act`.

    Parameters
    ----------
    site : CrashSite
        The server and its ledger.
    place : int
        Its number among the actors, which its UIDs have.
    first : int
        Number of its first instance; another one in each round.
    seed : str
        Seed of its choices.

    Attributes
    ----------
    name : str
        Its class's name, with which its Patient IDs begin.
    http : ServerConnection
        Its connection to the server.
    as_dataset : bool
        Whether it sends datasets alone, as DIMSE does.
    acts : int
        Acts that the server has answered.
    """

    as_dataset = False

    def __init__(self, site: CrashSite, place: int, first: int, seed: str) -> None:
        self.site = site
        self.place = place
        self.name = type(self).__name__
        self.random = random.Random(f"{seed} {self.name}")  # noqa: S311 - to be repeated, not to be secret
        self.http = ServerConnection(site.url)
        self.acts = 0
        self._number = first
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    @abstractmethod
    def act(self) -> None:
        """Do something, and record it. Raises `ServerLost` when the server is gone."""

    def close(self) -> None:
        """Close its connections; called in its thread at its end."""
        self.http.close()

    def start(self) -> None:
        """Begin to act."""
        self._thread.start()

    def stop(self) -> None:
        """Let the act under way be the last."""
        self._stopping.set()

    def join(self) -> None:
        """Wait for the end of the last act."""
        self._thread.join()

    @property
    def is_stopping(self) -> bool:
        """True once it is to end."""
        return self._stopping.is_set()

    def _run(self) -> None:
        while not self.is_stopping:
            try:
                self.act()
                self.acts += 1
                pause = PAUSE * self.random.random()
            except (ServerLost, ServerRefused):
                pause = AGAIN
            except Exception as error:  # of whatever kind: the run fails, and tells it
                self.site.report(f"{self.name}: {error!r}")
                pause = AGAIN
            self._stopping.wait(pause)
        self.close()

    def statuses(self, *good: int, partly: int) -> tuple[int, ...]:
        """List the statuses of an answer that says what is stored: partly only where the server may refuse.

        Parameters
        ----------
        *good : int
            Statuses where all is stored.
        partly : int
            Status where some is stored.
        """
        return (*good, partly) if self.site.refusals else good

    def check(self, answer: ServerAnswer, allowed: Collection[int]) -> ServerAnswer:
        """Report an answer of another status than those allowed. Raises `ServerRefused`."""
        if answer.status in self.site.refusals:
            self.site.refused[answer.status] += 1
            if "retry-after" not in answer.headers:
                self.site.report(f"{self.name}: {answer.status} without Retry-After: {answer.body[:500]!r}")
            raise ServerRefused(answer.status)
        if answer.status not in allowed:
            self.site.report(f"{self.name}: {answer.status} {answer.body[:500]!r}; {sorted(allowed)} are expected")
        return answer

    def samples(self, count: int) -> list[SampleInstance]:
        """Make new instances of this actor: of a few patients, studies and series."""
        return [self._sample() for _ in range(count)]

    def _sample(self) -> SampleInstance:
        self._number += 1
        patient, study = f"{self.name}-{self._number // 24}", f"{self.site.root}.{self.place}.{self._number // 8}"
        series = f"{study}.{self._number % 2}"
        return self.file(patient, study, series, f"{series}.{self._number}")

    def file(self, patient_id: str, study: str, series: str, instance: str, comment: str = "") -> SampleInstance:
        """Make an instance.

        Parameters
        ----------
        patient_id, study, series, instance : str
            Patient ID and UIDs.
        comment : str
            Changes its bytes.

        Returns
        -------
        SampleInstance
        """
        content = self.site.make(patient_id, study, series, instance, comment)
        return SampleInstance(patient_id, study, series, instance, content, self.as_dataset)

    def again(self) -> SampleInstance | None:
        """Make other bytes of an instance of this actor that is there; None where there is none."""
        chosen = self.site.ledger.choose(self.random, self.name)
        if chosen is None:
            return None
        self._number += 1
        return self.file(chosen.patient_id, chosen.study, chosen.series, chosen.instance, f"version {self._number}")
