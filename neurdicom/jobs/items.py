"""Items of a job and their outcomes, some hundreds in each document.

Writing progress costs one such document and the job's own, however large the job is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from neurdicom.jobs.runner import Failure, ItemOutcome

#: Most items in one document.
CHUNK = 500

#: Most failures that are kept of one item, and most characters of a reason.
_MAX_FAILURES = 20
_MAX_REASON = 500

_PENDING, _AGAIN, _OVER = "p", "a", "o"
_MAPS = ("tallies", "attempts", "failures", "results")

#: States of an item in the API.
ITEM_STATES = ("pending", "done", "failed")


@dataclass(slots=True)
class Chunk:
    """Part of a job's items, which are stored in one document.

    Attributes
    ----------
    number : int
        Number of the document among the job's, from 0.
    values : Sequence
        The items.
    states : list of str
        State of each: pending, to be tried again, or over.
    tallies : dict of int to list of int
        Done, failed and warned instances of items that are over; an absent one means one done instance.
    attempts : dict of int to int
        Attempts at items that failed.
    failures : dict of int to list
        Instance, reason, code of the error, series and study, of items that failed.
    results : dict of int to Mapping
        Results that the runner keeps of items that are done.
    """

    number: int
    values: Sequence[Any]
    states: list[str] = field(default_factory=list)
    tallies: dict[int, list[int]] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    failures: dict[int, list[list[str | None]]] = field(default_factory=dict)
    results: dict[int, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.states = self.states or [_PENDING] * len(self.values)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read a document of the catalog."""
        maps = {name: {int(index): value for index, value in document.get(name, {}).items()} for name in _MAPS}
        return cls(document["number"], document["values"], list(document["states"]), **maps)

    def to_document(self) -> dict[str, Any]:
        """Return the chunk as a document of the catalog."""
        maps = {name: {str(index): value for index, value in getattr(self, name).items()} for name in _MAPS}
        return {"number": self.number, "values": self.values, "states": "".join(self.states), **maps}

    def pending(self) -> list[int]:
        """List the indices of the items that are not over."""
        return [index for index, state in enumerate(self.states) if state != _OVER]

    def settle(self, index: int, outcome: ItemOutcome, *, attempts: int) -> bool:
        """Record the outcome of an item; return whether it is over, and not to be tried again.

        Parameters
        ----------
        index : int
            Index of the item in this chunk.
        outcome : ItemOutcome
            Its outcome.
        attempts : int
            Most attempts at an item.
        """
        if outcome.failed:
            self.attempts[index] = self.attempts.get(index, 0) + 1
            found = outcome.failures[:_MAX_FAILURES]
            self.failures[index] = [
                [one.instance, one.reason[:_MAX_REASON], one.code, one.series, one.study] for one in found
            ]
        else:
            self.failures.pop(index, None)
            if outcome.result is not None:
                self.results[index] = outcome.result
        over = not (outcome.failed and outcome.retryable and self.attempts[index] < attempts)
        self.states[index] = _OVER if over else _AGAIN
        tally = [outcome.done, outcome.failed, outcome.warned]
        if over and tally != [1, 0, 0]:
            self.tallies[index] = tally
        return over

    def count(self) -> tuple[int, int, int]:
        """Count the done, failed and warned instances of the items that are over."""
        tallies = [self.tallies.get(index, (1, 0, 0)) for index, state in enumerate(self.states) if state == _OVER]
        done, failed, warned = (sum(tally[place] for tally in tallies) for place in range(3))
        return done, failed, warned

    def errors(self, index: int) -> list[dict[str, Any]]:
        """List the failures of an item, as the record of a job has them."""
        attempts = self.attempts.get(index, 1)
        described = []
        for instance, reason, *rest in self.failures.get(index, []):
            code, series, study = (*rest, None, None, None)[:3]
            failure = Failure(instance, reason or "", code or "", series, study)
            described.append({**failure.to_api(), "attempts": attempts})
        return described

    def state(self, index: int) -> str:
        """Return one of `ITEM_STATES`."""
        if self.states[index] != _OVER:
            return "pending"
        return "failed" if self.tallies.get(index, (1, 0, 0))[1] else "done"

    def reopen(self) -> int:
        """Reset failed items so that they run once more; return their number."""
        failed = [index for index in range(len(self.values)) if self.state(index) == "failed"]
        for index in failed:
            self.states[index] = _PENDING
            for kept in (self.tallies, self.attempts, self.failures):
                kept.pop(index, None)
        return len(failed)

    def all_errors(self) -> list[dict[str, Any]]:
        """List the failures of all items that are over."""
        return [one for index in sorted(self.failures) if self.states[index] == _OVER for one in self.errors(index)]
