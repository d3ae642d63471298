"""Position, orientation and spacing of a frame in the patient (PS3.3 C.7.6.2, C.7.6.16.2)."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pydicom import Dataset

#: Tolerances of direction cosines for unit length and right angles; scanners write rounded decimal strings.
_TOLERANCE = 1e-2
_ROUNDING = 1e-4

Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Geometry:
    """Position, orientation and spacing of a frame.

    Attributes
    ----------
    position : tuple of 3 floats
        Image Position (Patient): centre of the first pixel, in mm.
    orientation : tuple of 6 floats
        Image Orientation (Patient): directions of a row and of a column.
    spacing : tuple of 2 floats
        Pixel Spacing in mm: between rows, between columns.
    thickness : float or None
        Slice Thickness in mm.
    """

    position: Point
    orientation: tuple[float, ...]
    spacing: tuple[float, float]
    thickness: float | None = None

    def resized(self, before: tuple[int, int], after: tuple[int, int]) -> "Geometry":
        """Compute the geometry of the same field of view in another number of rows and columns."""
        if before == after:
            return self
        rows, columns = (self.spacing[i] * before[i] / after[i] for i in (0, 1))
        along_row, along_column = (columns - self.spacing[1]) / 2, (rows - self.spacing[0]) / 2
        x, y, z = (
            self.position[i] + along_row * self.orientation[i] + along_column * self.orientation[3 + i]
            for i in range(3)
        )
        return replace(self, position=(x, y, z), spacing=(rows, columns))


def geometry_of(ds: Dataset, frame: int, count: int) -> Geometry | None:
    """Read the geometry of a frame.

    Parameters
    ----------
    ds : Dataset
        Header of the instance.
    frame : int
        Frame number, from 1.
    count : int
        Number of frames.

    Returns
    -------
    Geometry or None
        None where the header gives none, or one that makes no sense.
    """
    found: dict[str, list[float]] = {}
    for item in _places(ds, frame, count):
        for keyword, size in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2)):
            if keyword not in found and (numbers := _numbers(item, keyword, size)) is not None:
                found[keyword] = numbers
        if "SliceThickness" not in found and (numbers := _numbers(item, "SliceThickness", 1)) is not None:
            found["SliceThickness"] = numbers
    try:
        x, y, z = found["ImagePositionPatient"]
        orientation = tuple(found["ImageOrientationPatient"])
        rows, columns = found["PixelSpacing"]
    except KeyError:
        return None
    if rows <= 0 or columns <= 0 or not _is_orthonormal(orientation):
        return None
    thickness = found.get("SliceThickness", [0.0])[0]
    directions = _unit(orientation[:3]) + _unit(orientation[3:])
    return Geometry((x, y, z), directions, (rows, columns), thickness if thickness > 0 else None)


def _places(ds: Dataset, frame: int, count: int) -> Iterator[Dataset]:
    """Yield the datasets that may hold a frame's geometry: its functional groups, shared ones, the header."""
    for keyword, index in (("PerFrameFunctionalGroupsSequence", frame - 1), ("SharedFunctionalGroupsSequence", 0)):
        with contextlib.suppress(LookupError, TypeError):
            groups = ds[keyword].value[index]
            for name in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence"):
                yield from groups.get(name) or ()
    if count == 1:
        yield ds


def _numbers(ds: Dataset, keyword: str, size: int) -> list[float] | None:
    try:
        value = ds.get(keyword)
        numbers = [float(each) for each in (value if size > 1 else [value])]
    except (ValueError, TypeError, OverflowError):
        return None
    return numbers if len(numbers) == size and all(math.isfinite(number) for number in numbers) else None


def _is_orthonormal(orientation: tuple[float, ...]) -> bool:
    row, column = orientation[:3], orientation[3:]
    products = (_dot(row, row) - 1, _dot(column, column) - 1, _dot(row, column))
    return all(abs(product) < _TOLERANCE for product in products)


def _unit(direction: tuple[float, ...]) -> tuple[float, ...]:
    """Scale a direction to length 1; unchanged when its length is 1 but for rounding."""
    length = math.sqrt(_dot(direction, direction))
    return direction if abs(length - 1) < _ROUNDING else tuple(part / length for part in direction)


def _dot(left: tuple[float, ...], right: tuple[float, ...]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))
