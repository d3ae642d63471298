"""The order of a series' slices in the patient (PS3.3 C.7.6.2)."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

EntityT = TypeVar("EntityT", bound=Mapping[str, Any])

#: Positions closer than this are one position (mm): scanners write rounded decimal strings.
POSITION_STEP = 1e-3
#: Components of unit normals are compared after rounding to this many digits (0.01 is half a degree).
NORMAL_DIGITS = 2


def slice_order(entities: Iterable[EntityT]) -> list[EntityT]:
    """Order instances by their position along the slice normal.

    Slices of one orientation stay together; where a series mixes orientations (localizers), the stacks follow
    each other by their lowest InstanceNumber. Slices at one position (phases, echoes) follow by InstanceNumber,
    and so do instances without geometry, which make a stack of their own. All ties end at the SOP Instance UID.

    Parameters
    ----------
    entities : iterable of mapping
        Instances as the catalog gives them; `id`, `instance_number` (int or None), `image_position_patient` (3
        numbers, mm) and `image_orientation_patient` (6 direction cosines) are read.

    Returns
    -------
    list
        The same mappings, ordered.
    """
    stacks: dict[tuple[float, ...] | None, list[tuple[float, float, str, EntityT]]] = {}
    for entity in entities:
        normal, position = _place(entity)
        number = entity.get("instance_number")
        key = (position, math.inf if number is None else float(number), str(entity.get("id", "")), entity)
        stacks.setdefault(normal, []).append(key)
    # A stack's place depends on all of its members, never on the order in which they came.
    ordered = sorted(stacks.values(), key=lambda stack: min((number, uid) for _, number, uid, _ in stack))
    return [entity for stack in ordered for *_, entity in sorted(stack, key=lambda key: key[:3])]


def _place(entity: Mapping[str, Any]) -> tuple[tuple[float, ...] | None, float]:
    """Compute the rounded normal and the position along it; None and 0 where there is no usable geometry."""
    origin = _numbers(entity.get("image_position_patient"), 3)
    cosines = _numbers(entity.get("image_orientation_patient"), 6)
    if origin is None or cosines is None:
        return None, 0.0
    rx, ry, rz, cx, cy, cz = cosines
    normal = (ry * cz - rz * cy, rz * cx - rx * cz, rx * cy - ry * cx)
    size = math.sqrt(sum(part * part for part in normal))
    if not math.isfinite(size) or size < 1e-6:
        return None, 0.0
    unit = tuple(part / size for part in normal)
    distance = sum(part * place for part, place in zip(unit, origin, strict=True))
    # Adding 0.0 turns -0.0 into 0.0, which would otherwise be another key.
    return tuple(round(part, NORMAL_DIGITS) + 0.0 for part in unit), round(distance / POSITION_STEP)


def _numbers(value: object, count: int) -> Sequence[float] | None:
    if not isinstance(value, list | tuple) or len(value) != count:
        return None
    if not all(isinstance(item, int | float) and math.isfinite(item) for item in value):
        return None
    return value
