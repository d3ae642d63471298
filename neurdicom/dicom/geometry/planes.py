"""Planes in the patient, and the volume that they make up (PS3.3 C.7.6.2, C.7.6.16.2)."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, Final, TypedDict, TypeVar

from neurdicom.dicom.geometry.slices import POSITION_STEP, slice_order
from neurdicom.errors import Invalid, NotAvailable

KeyT = TypeVar("KeyT")

#: Most slices of a volume: the plane of each is held in memory.
MAX_SLICES: Final = 1 << 14

#: Direction cosines that differ by less are the same (about half a degree).
_COSINE_STEP: Final = 0.01
#: Distances between slices that differ by less than this part of them are the same.
_UNIFORM: Final = 0.01
#: Most instances that an error names.
_NAMED: Final = 5


class Plane(TypedDict, total=False):
    """A frame's place in the patient and the meaning of its samples, with the names and values of the catalog.

    Absent and None mean unknown. `id` is the SOP Instance UID; `frame` counts from 1.
    """

    id: str
    frame: int
    rows: int
    columns: int
    instance_number: int | None
    image_position_patient: Sequence[float] | None
    image_orientation_patient: Sequence[float] | None
    pixel_spacing: Sequence[float] | None
    slice_thickness: float | None
    rescale_slope: float | None
    rescale_intercept: float | None
    window_center: Sequence[float] | None
    window_width: Sequence[float] | None
    photometric_interpretation: str | None
    bits_stored: int | None
    pixel_representation: int | None
    modality: str | None
    series: str | None


#: Attributes of an instance in the catalog that a `Plane` takes over.
FIELDS: Final = (
    "modality",
    "instance_number",
    "image_position_patient",
    "image_orientation_patient",
    "pixel_spacing",
    "slice_thickness",
    "rescale_slope",
    "rescale_intercept",
    "window_center",
    "window_width",
    "series",
)


def order_volume(planes: Sequence[Plane]) -> list[Plane]:
    """Order the slices of a volume along their normal, or by InstanceNumber where they have no position.

    Frames that all lie at one position, such as those of a cine run, are ordered by their numbers.

    Raises
    ------
    NotAvailable
        `planes` is empty.
    Invalid
        The planes make up no volume: sizes or orientations differ, some have no position, or some have the same one.
        The message names those that do not fit.
    """
    if not planes:
        raise NotAvailable("there are no images to make a volume of")
    _check_same(
        planes, "size", lambda plane: (plane["columns"], plane["rows"]), lambda size: "{} x {} pixels".format(*size)
    )
    placed = [plane for plane in planes if _is_placed(plane)]
    if not placed:
        return sorted(planes, key=lambda plane: (_number(plane), plane["id"]))
    if len(placed) < len(planes):
        lost = [plane for plane in planes if not _is_placed(plane)]
        raise Invalid(
            f"the slices are no volume: {_names(lost)} {'has' if len(lost) == 1 else 'have'} no Image Position or "
            f"Image Orientation (Patient), and {len(placed)} others have"
        )
    return _along_normal(planes)


def describe_volume(planes: Sequence[Plane], input: str) -> dict[str, Any]:
    """Write the `_image` parameter of a native plugin, which describes its slices; docs/plugins.md has the members.

    Parameters
    ----------
    planes : sequence of Plane
        The planes, in the order of the slices; at least one.
    input : {"stored", "modality"}
        Which pixel values the plugin gets.

    Returns
    -------
    dict[str, Any]
        JSON-able; lengths in mm.
    """
    first, middle = planes[0], planes[len(planes) // 2]
    row_spacing, column_spacing = (first.get("pixel_spacing") or (None, None))[:2]
    slice_spacing, is_uniform = _slice_spacing(planes)
    origin = first.get("image_position_patient")
    windows = zip(middle.get("window_center") or (), middle.get("window_width") or (), strict=False)
    return {
        "modality": first.get("modality"),
        "series": first.get("series"),
        "spacing": [row_spacing, column_spacing, slice_spacing],
        "uniform": is_uniform,
        "thickness": first.get("slice_thickness"),
        "orientation": _listed(first.get("image_orientation_patient")),
        "origin": _listed(origin),
        "positions": [_listed(plane.get("image_position_patient")) for plane in planes] if origin else None,
        "instances": [plane["id"] for plane in planes],
        "frames": [plane["frame"] for plane in planes],
        "input": input,
        "rescale": _rescales(planes),
        "photometric_interpretation": first.get("photometric_interpretation"),
        "bits_stored": max(plane.get("bits_stored") or 0 for plane in planes) or None,
        "signed": any(plane.get("pixel_representation") == 1 for plane in planes),
        "window": next(([center, width] for center, width in windows if width > 0), None),
    }


def _along_normal(planes: Sequence[Plane]) -> list[Plane]:
    reference = Counter(_rounded(plane) for plane in planes).most_common(1)[0][0]
    (orientation,) = [plane["image_orientation_patient"] for plane in planes if _rounded(plane) == reference][:1]
    assert orientation is not None
    odd = [plane for plane in planes if not _is_parallel(plane, orientation)]
    if odd:
        raise Invalid(
            f"the slices are no volume: {_names(odd)} {'has' if len(odd) == 1 else 'have'} another orientation than "
            f"the other {len(planes) - len(odd)}"
        )
    # Those that differ by a rounding must not fall apart into stacks.
    alike = [{**plane, "image_orientation_patient": orientation, "plane": plane, "instance_number": _number(plane)}
             for plane in planes]  # fmt: skip
    ordered: list[Plane] = [entity["plane"] for entity in slice_order(alike)]  # type: ignore[misc]
    places = [_along(plane, orientation) for plane in ordered]
    same = [index for index, (one, next) in enumerate(pairwise(places)) if next - one < 1.5 * POSITION_STEP]
    if same and len(same) < len(ordered) - 1:
        pair = ordered[same[0] : same[0] + 2]
        raise Invalid(
            f"the slices are no volume: {len(same)} of {len(ordered)} lie where another one does, such as "
            f"{_names(pair)} at {_listed(pair[0].get('image_position_patient'))}; a series with several images of one "
            "place (phases, echoes, times) can only be given to a Python plugin"
        )
    return ordered


def _check_same(planes: Sequence[Plane], what: str, key: Callable[[Plane], KeyT], say: Callable[[KeyT], str]) -> None:
    counts = Counter(key(plane) for plane in planes)
    usual, count = counts.most_common(1)[0]
    odd = [plane for plane in planes if key(plane) != usual]
    if odd:
        raise Invalid(
            f"the slices are no volume: they differ in {what}. {count} have {say(usual)}; {_names(odd)} "
            f"{'has' if len(odd) == 1 else 'have'} {say(key(odd[0]))}"
        )


def _names(planes: Sequence[Plane]) -> str:
    """Name instances and their frames for an error, at most `_NAMED` of them."""
    named = [
        f"instance {plane['id']}" + (f" frame {plane['frame']}" if plane["frame"] > 1 else "")
        for plane in planes[:_NAMED]
    ]
    more = f" and {len(planes) - _NAMED} more" if len(planes) > _NAMED else ""
    return ", ".join(named) + more


def _number(plane: Plane) -> int:
    """Compute the sort key of a slice without a position, from its instance number and its frame."""
    return (plane.get("instance_number") or 0) * MAX_SLICES + plane["frame"]


def _is_placed(plane: Plane) -> bool:
    position, orientation = plane.get("image_position_patient"), plane.get("image_orientation_patient")
    if not _are_finite(position, 3) or not _are_finite(orientation, 6):
        return False
    assert orientation is not None
    return math.hypot(*_normal(orientation)) > 1e-6


def _are_finite(values: Sequence[float] | None, count: int) -> bool:
    return values is not None and len(values) == count and all(
        isinstance(value, int | float) and math.isfinite(value) for value in values
    )  # fmt: skip


def _rounded(plane: Plane) -> tuple[float, ...]:
    return tuple(round(cosine, 2) + 0.0 for cosine in plane.get("image_orientation_patient") or ())


def _is_parallel(plane: Plane, orientation: Sequence[float]) -> bool:
    own = plane.get("image_orientation_patient") or ()
    return all(abs(one - other) < _COSINE_STEP for one, other in zip(own, orientation, strict=True))


def _normal(orientation: Sequence[float]) -> tuple[float, float, float]:
    rx, ry, rz, cx, cy, cz = orientation
    return ry * cz - rz * cy, rz * cx - rx * cz, rx * cy - ry * cx


def _along(plane: Plane, orientation: Sequence[float]) -> float:
    """Compute the position along the normal, in mm."""
    normal, position = _normal(orientation), plane.get("image_position_patient") or (0.0, 0.0, 0.0)
    return sum(part * place for part, place in zip(normal, position, strict=True)) / math.hypot(*normal)


def _slice_spacing(planes: Sequence[Plane]) -> tuple[float | None, bool | None]:
    """Compute the median distance of neighbours in mm, and whether it is uniform; None where there are no positions."""
    orientation = planes[0].get("image_orientation_patient")
    if len(planes) < 2 or orientation is None or not all(map(_is_placed, planes)):
        return None, None
    places = [_along(plane, orientation) for plane in planes]
    distances = sorted(next - one for one, next in pairwise(places))
    median = distances[len(distances) // 2]
    if median < POSITION_STEP:
        return None, None
    allowed = max(_UNIFORM * median, 2 * POSITION_STEP)
    return round(median, 6), distances[-1] - median <= allowed and median - distances[0] <= allowed


def _rescales(planes: Iterable[Plane]) -> list[list[float]] | None:
    """List slope and intercept: one pair for all slices, or one for each; None where a slice has neither."""
    pairs = []
    for plane in planes:
        slope, intercept = plane.get("rescale_slope"), plane.get("rescale_intercept")
        if slope is None and intercept is None:
            return None
        pairs.append([slope or 1.0, intercept or 0.0])
    return pairs[:1] if all(pair == pairs[0] for pair in pairs) else pairs


def _listed(values: Sequence[float] | None) -> list[float] | None:
    return None if values is None else [float(value) for value in values]
