"""What became of the calls of a batch, by what its worker replied or left behind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neurdicom.errors import NeurdicomError, PluginCrashed
from neurdicom.workers.batch import Broken
from neurdicom.workers.faults import error_of
from neurdicom.workers.program import Program, Reply


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of the calls of a batch.

    Attributes
    ----------
    found : list
        For each call that was done, in order, its reply or its error. Calls after those were not done.
    seconds : float
        How long the worker was at them.
    """

    found: list[Reply | NeurdicomError]
    seconds: float


def outcomes_of(reply: Reply, count: int, program: Program) -> Outcomes:
    """Read what a worker replied to a batch of `count` calls; its `meta` has the `answers` of shared memory.

    Raises
    ------
    PluginCrashed
        There are no answers, or more of them than calls: the program wrote over them.
    """
    answers = list(reply.meta["answers"])
    if isinstance(last := reply.meta.get("last"), dict):
        answers.append((last, reply.body))
    if not answers:
        raise PluginCrashed(f"{program.title} broke its connection: its answers can't be read")
    return Outcomes(_read(answers, count, program), _seconds(reply.meta))


def outcomes_of_broken(broken: Broken, count: int, program: Program, seconds: float) -> Outcomes:
    """Tell what became of the calls of a batch in which the worker was lost; `seconds` is what one may have taken."""
    found = _read(broken.answers, count, program)
    if len(found) < count:
        found.append(broken.error)
    return Outcomes(found, seconds * len(found))


def _read(
    answers: Sequence[tuple[Mapping[str, Any], bytes | memoryview]], count: int, program: Program
) -> list[Reply | NeurdicomError]:
    if len(answers) > count:
        raise PluginCrashed(f"{program.title} broke its connection: it gave {len(answers)} answers to {count} calls")
    found: list[Reply | NeurdicomError] = []
    for control, body in answers:
        error, meta = control.get("error"), control.get("meta")
        if error is not None:
            found.append(error_of(error, program))
        else:
            found.append(Reply(meta if isinstance(meta, dict) else {}, body))
    return found


def _seconds(meta: Mapping[str, Any]) -> float:
    """How long the worker says that the calls took; 0 where it says nothing sensible."""
    seconds = meta.get("seconds")
    return float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < 1e6 else 0.0
