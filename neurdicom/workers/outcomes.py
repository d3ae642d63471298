"""Outcomes of a batch's calls, read from the worker's reply or from what a lost worker left in shared memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neurdicom.errors import NeurdicomError, PluginCrashed
from neurdicom.workers.batch import Broken
from neurdicom.workers.faults import error_of
from neurdicom.workers.program import Program, Reply


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Outcomes of the calls of a batch.

    Attributes
    ----------
    found : list
        The reply or the error of each call that was done, in order. Calls beyond them were not done.
    seconds : float
        Time that the worker spent on them.
    """

    found: list[Reply | NeurdicomError]
    seconds: float


def outcomes_of(reply: Reply, count: int, program: Program) -> Outcomes:
    """Read the outcomes from a worker's reply to a batch.

    Parameters
    ----------
    reply : Reply
        Its `meta` has the `answers` found in shared memory.
    count : int
        Number of calls in the batch.
    program : Program
        The program that answered; errors name it.

    Raises
    ------
    PluginCrashed
        There are no answers, or more of them than calls: the program overwrote the shared memory.
    """
    answers = list(reply.meta["answers"])
    if isinstance(last := reply.meta.get("last"), dict):
        answers.append((last, reply.body))
    if not answers:
        raise PluginCrashed(f"{program.title} broke its connection: its answers can't be read")
    return Outcomes(_read(answers, count, program), _seconds(reply.meta))


def outcomes_of_broken(broken: Broken, count: int, program: Program, seconds: float) -> Outcomes:
    """Read the outcomes of a batch in which the worker was lost.

    Parameters
    ----------
    broken : Broken
        The loss, with the answers before it.
    count : int
        Number of calls in the batch.
    program : Program
        The program that the worker ran; errors name it.
    seconds : float
        Time that one call is assumed to have taken.

    Raises
    ------
    PluginCrashed
        There are more answers than calls.
    """
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
    """Read the time that the worker reports for the calls; 0 where the value makes no sense."""
    seconds = meta.get("seconds")
    return float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < 1e6 else 0.0
