"""The order of slices."""

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from neurdicom.dicom.geometry.slices import slice_order

AXIAL, SAGITTAL = [1.0, 0, 0, 0, 1, 0], [0.0, 1, 0, 0, 0, -1]


def instance(
    uid: str, number: int | None = None, z: float | None = None, axes: list[float] | None = None
) -> dict[str, Any]:
    position = None if z is None else [0, 0, z] if axes is None else [z, 0, 0]
    orientation = None if z is None else axes or AXIAL
    return {
        "id": uid,
        "instance_number": number,
        "image_position_patient": position,
        "image_orientation_patient": orientation,
    }


def ids(entities: list[dict[str, Any]]) -> list[str]:
    return [entity["id"] for entity in entities]


def test_by_position_and_not_by_number() -> None:
    assert ids(slice_order([instance("a", 1, 30), instance("b", 2, 20.5), instance("c", 3, -1)])) == ["c", "b", "a"]


def test_without_geometry_by_number_then_uid_with_missing_numbers_last() -> None:
    entities = [instance("d"), instance("b", 2), instance("c", 1), instance("a", 2)]
    assert ids(slice_order(entities)) == ["c", "a", "b", "d"]


def test_phases_at_one_position_follow_by_number() -> None:
    entities = [instance("a", 3, 1.0), instance("b", 1, 1.0000001), instance("c", 2, 0)]
    assert ids(slice_order(entities)) == ["c", "b", "a"]


def test_stacks_of_different_orientation_stay_together() -> None:
    entities = [
        instance("s2", 4, 9, SAGITTAL),
        instance("a2", 1, 5),
        instance("s1", 3, 8, SAGITTAL),
        instance("a1", 2, 1),
    ]
    assert ids(slice_order(entities)) in (["a1", "a2", "s1", "s2"], ["a1", "a2", "s2", "s1"])


def test_broken_geometry_counts_as_none() -> None:
    broken = instance("b", 1, 3)
    broken["image_orientation_patient"] = [1, 0, 0, 1, 0, 0]
    short = instance("c", 2, 3)
    short["image_position_patient"] = [1.0]
    odd = instance("d", 3, float("nan"))
    assert ids(slice_order([odd, short, broken])) == ["b", "c", "d"]


@given(
    places=st.lists(st.tuples(st.floats(-500, 500) | st.none(), st.integers(0, 5) | st.none()), max_size=12),
    seed=st.integers(0, 9),
)
def test_the_order_of_arrival_does_not_matter(places: list[tuple[float | None, int | None]], seed: int) -> None:
    entities = [instance(f"1.{index}", number, z) for index, (z, number) in enumerate(places)]
    shuffled = entities.copy()
    random.Random(seed).shuffle(shuffled)
    assert slice_order(shuffled) == slice_order(entities)
    assert sorted(ids(slice_order(entities))) == sorted(ids(entities))
