"""Merges, moves and splits in the state machine of the archive port."""

from collections.abc import Mapping, Sequence

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from neurdicom.catalog.moves import Move, MovedSeries, MoveRequest, demographics_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Value
from neurdicom.testing.catalog_compared import NUMBERS, ComparedMachine
from neurdicom.testing.catalog_strategies import attributes, references

_MOVED = st.sampled_from([Level.PATIENT, Level.STUDY, Level.STUDY, Level.SERIES, Level.SERIES])
#: UIDs of studies that splits make, which no file has.
_MADE = ["2.25.1", "2.25.2"]


def has_instances(machine: ComparedMachine) -> bool:
    """Tell whether a machine's catalog has anything in it."""
    return bool(machine.model.instances)


def has_moves(machine: ComparedMachine) -> bool:
    """Tell whether anything was moved in a machine's catalog."""
    return bool(machine.model.moves)


class MoveRules(ComparedMachine):
    """Rules that move entities, and undo moves."""

    def __init__(self) -> None:
        super().__init__()
        self._requests = 0

    def move(self, level: Level, entities: Sequence[str], **more: object) -> None:
        """Request a move of the catalog and of its model, and compare their answers.

        Parameters
        ----------
        level : Level
            Level of the moved entities.
        entities : sequence of str
            References to them.
        **more
            Further members of the request.
        """
        self._requests += 1
        edit, time = f"move-{self._requests}", f"2024-03-01T00:00:{self._requests:02}Z"
        request = MoveRequest(edit, level, tuple(entities), user="u", time=time, **more)  # type: ignore[arg-type]
        before = self.model.places_of_series()
        found, expected = self.both(self.tested.move(request), lambda: self.model.move(request))
        self._same_moves(found, expected, before)

    def _same_moves(self, found: object, expected: object, before: Mapping[str, tuple[str, ...]]) -> None:
        assert type(found) is type(expected)
        if not isinstance(found, list) or not isinstance(expected, list):
            return
        if not all(isinstance(one, MovedSeries) for one in (*found, *expected)):
            # Where several errors apply, an adapter may raise any of them.
            assert [isinstance(one, str) for one in (*found[:1], *expected[:1])] == [True, True]
            return
        # A series that gained or lost another part may have another key: an adapter need not report it.
        changed = {one.key: one for one in expected}
        assert {one.key: one for one in found}.items() <= changed.items()
        now = self.model.places_of_series()
        assert {key for key in now if now[key] != before[key]} <= {one.key for one in found}

    @precondition(has_instances)
    @rule(number=NUMBERS, to=NUMBERS, from_now_on=st.booleans())
    def merge(self, number: int, to: int, *, from_now_on: bool) -> None:
        patient, into = self.some(Level.PATIENT, number), self.some(Level.PATIENT, to)
        self.move(Level.PATIENT, [patient], patient=into, from_now_on=from_now_on)

    @precondition(has_instances)
    @rule(number=NUMBERS, to=NUMBERS)
    def move_study(self, number: int, to: int) -> None:
        self.move(Level.STUDY, [self.some(Level.STUDY, number)], patient=self.some(Level.PATIENT, to))

    @precondition(has_instances)
    @rule(number=NUMBERS, patient=references(Level.PATIENT) | st.just("made"), given=attributes(Level.PATIENT))
    def move_study_to_new_patient(self, number: int, patient: str, given: Mapping[str, Value]) -> None:
        demographics = demographics_of({**given, "patient_id": patient.upper()})
        self.move(Level.STUDY, [self.some(Level.STUDY, number)], patient=patient, demographics=demographics)

    @precondition(has_instances)
    @rule(number=NUMBERS, to=NUMBERS)
    def move_series(self, number: int, to: int) -> None:
        self.move(Level.SERIES, [self.some(Level.SERIES, number)], study=self.some(Level.STUDY, to))

    @precondition(has_instances)
    @rule(numbers=st.lists(NUMBERS, min_size=1, max_size=2), made=st.sampled_from(_MADE))
    def split(self, numbers: list[int], made: str) -> None:
        series = [self.some(Level.SERIES, number) for number in numbers]
        self.move(Level.SERIES, series, study=made, is_split=True)

    @precondition(has_moves)
    @rule(number=NUMBERS)
    def undo_move(self, number: int) -> None:
        edits = [*dict.fromkeys(move.edit for move in self.model.moves), "none"]
        edit = edits[number % len(edits)]
        before = self.model.places_of_series()
        found, expected = self.wait(self.tested.undo_move(edit)), self.model.undo_move(edit)
        self._same_moves(found, expected, before)

    @precondition(has_moves)
    @rule(level=_MOVED, number=NUMBERS)
    def moves(self, level: Level, number: int) -> None:
        entity = self.some(level, number)
        found, expected = self.both(self.tested.moves(level, entity), lambda: self.model.moves_of(level, entity))
        assert [type(one) for one in found] == [type(one) for one in expected]
        if all(isinstance(one, Move) for one in found):
            assert [move.time for move in found] == sorted(move.time for move in found)
            assert sorted(found, key=_order) == sorted(expected, key=_order)
        else:
            assert found == expected
        for patient in {name for move in self.model.moves for name in (move.path[0], move.patient)}:
            assert self.wait(self.tested.merged_into(patient)) == self.model.merged_into(patient)

    @precondition(has_moves)
    @rule(number=NUMBERS)
    def displaced(self, number: int) -> None:
        entity = self.some(Level.INSTANCE, number)
        found, expected = self.both(self.tested.displaced(entity), lambda: self.model.displaced(entity))
        assert found == expected


def _order(move: Move) -> tuple[str, ...]:
    return (move.time, move.level, *move.path)
