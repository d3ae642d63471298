"""Base of the state machine of the archive port: the adapter, the model, and what is compared of their answers."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from neurdicom.catalog.records import DescribedInstance, Edit, Located
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Ambiguous, Conflict, NotFound
from neurdicom.testing.catalog_moving import MovingModel
from neurdicom.testing.machine import AdapterMachine

NUMBERS = st.integers(0, 20)


class ComparedMachine(AdapterMachine):
    """State machine that calls the same verbs of a catalog and of its model, and compares their answers."""

    def __init__(self) -> None:
        super().__init__()
        self.model = MovingModel()

    def some(self, level: Level, number: int) -> str:
        """Choose a reference: a present or earlier key, a UID, which may name several entities, or an unknown one.

        Parameters
        ----------
        level : Level
            Level of the entity.
        number : int
            Which.

        Returns
        -------
        str
        """
        paths = self.model.paths(level)
        known = {key for path in paths for key in self.model.keys_at(path)}
        known |= {uid_of(key) for key in known}
        chosen = [*sorted(known), "none"]
        return chosen[number % len(chosen)]

    def keys_of_some(self, level: Level, numbers: list[int]) -> list[str]:
        """Choose references that name one entity.

        Parameters
        ----------
        level : Level
            Level of the entities.
        numbers : list of int
            Which.

        Returns
        -------
        list of str
        """
        found = [self.some(level, number) for number in numbers]
        return [reference for reference in found if len(self.model.referred(level, reference)) < 2]

    def both(self, found: Awaitable[Any], expected: Callable[[], Any]) -> tuple[Any, Any]:
        """Call the adapter and the model; an error is answered by a list with its name, and of candidates.

        Parameters
        ----------
        found : Awaitable
            Call of the adapter.
        expected : callable
            Call of the model.

        Returns
        -------
        tuple
            Both answers.
        """
        calls: list[Callable[[], Any]] = [lambda: self.wait(found), expected]
        answers: list[Any] = []
        for call in calls:
            try:
                answers.append(call())
            except Ambiguous as error:
                answers.append([Ambiguous.__name__, *sorted(error.candidates)])
            except (Conflict, NotFound) as error:
                answers.append([type(error).__name__])
        return answers[0], answers[1]


def compared(answer: Iterable[Any]) -> list[Any]:
    """Replace the edits of instances in an answer by the last of each field, so that their order does not count.

    Parameters
    ----------
    answer : iterable
        What `locate_all` or `described` answers.

    Returns
    -------
    list
    """
    found: list[Any] = []
    for one in answer:
        if isinstance(one, Located):
            found.append((one.location, _counting(one.edits)))
        elif isinstance(one, DescribedInstance):
            found.append((replace(one, edits=()), _counting(one.edits)))
        else:
            found.append(one)
    return found


def _counting(edits: Iterable[Edit]) -> dict[tuple[Level, str], Edit]:
    return {(edit.level, edit.field): edit for edit in edits}
