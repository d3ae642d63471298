"""The planes of an instance's frames, read from functional groups (PS3.3 C.7.6.16) or the top level of its file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neurdicom.dicom.geometry.planes import FIELDS, Plane
from neurdicom.dicom.header import Layout
from neurdicom.pixels.decode.elements import FrameHeader, read_header
from neurdicom.pixels.decode.image_pixel import ImagePixel
from neurdicom.pixels.grayscale.modality import Rescale, modality_of
from neurdicom.pixels.grayscale.voi import read_window

#: Plane field to the functional group macro that holds it, and its keyword there.
_MACROS = {
    "image_position_patient": ("PlanePositionSequence", "ImagePositionPatient", 3),
    "image_orientation_patient": ("PlaneOrientationSequence", "ImageOrientationPatient", 6),
    "pixel_spacing": ("PixelMeasuresSequence", "PixelSpacing", 2),
}


def planes_of(
    instance: str, path: Path | str, layout: Layout, known: Mapping[str, Any], frames: Sequence[int]
) -> list[Plane]:
    """Read the planes of frames: their place in the patient and the meaning of their samples.

    Parameters
    ----------
    instance : str
        SOP Instance UID.
    path : path
        The file.
    layout : Layout
        Its layout.
    known : Mapping[str, Any]
        Fields of a `Plane` that the catalog has, edits applied; the file's attributes of a single frame override them.
    frames : sequence of int
        Frame numbers, from 1.

    Returns
    -------
    list of Plane
        One for each of `frames`.

    Raises
    ------
    NotAvailable
        The instance has no pixels, or its attributes contradict each other.
    NotFound
        The file is gone.
    """
    return [_plane(instance, path, layout, known, frame) for frame in frames]


def simple_plane(instance: str, layout: Layout, known: Mapping[str, Any]) -> Plane:
    """Make the plane of an instance that `is_simple` from the catalog alone, without reading its file.

    Parameters
    ----------
    instance : str
        SOP Instance UID.
    layout : Layout
        Layout of its file.
    known : Mapping[str, Any]
        Fields of a `Plane` that the catalog has, edits applied.
    """
    plane = _begin(instance, layout, known, 1)
    plane["rescale_slope"], plane["rescale_intercept"] = layout.rescale_slope, layout.rescale_intercept
    return plane


def is_simple(layout: Layout) -> bool:
    """Tell whether the catalog alone can give the plane of an instance."""
    # Where ingest recorded slope and intercept there is one frame, and there are no functional groups.
    return (layout.number_of_frames or 1) == 1 and layout.rescale_slope is not None


def _begin(instance: str, layout: Layout, known: Mapping[str, Any], frame: int) -> Plane:
    form = ImagePixel.of(layout)
    own: Plane = {
        "id": instance,
        "frame": frame,
        "rows": form.rows,
        "columns": form.columns,
        "photometric_interpretation": form.photometric,
        "bits_stored": form.bits_stored,
        "pixel_representation": int(form.signed),
    }
    return {**{field: known.get(field) for field in FIELDS}, **own}  # type: ignore[typeddict-item]


def _plane(instance: str, path: Path | str, layout: Layout, known: Mapping[str, Any], frame: int) -> Plane:
    plane = _begin(instance, layout, known, frame)
    header = read_header(path, layout, frame - 1)
    for field, (macro, keyword, count) in _MACROS.items():
        if (found := _numbers(header, macro, keyword, count)) is not None:
            plane[field] = found  # type: ignore[literal-required]
    if thickness := _numbers(header, "PixelMeasuresSequence", "SliceThickness", 1):
        plane["slice_thickness"] = thickness[0]
    if plane.get("window_center") is None:
        windows = map(read_window, header.having("FrameVOILUTSequence", "WindowCenter"))
        if (window := next(filter(None, windows), None)) is not None:
            plane["window_center"], plane["window_width"] = [window.center], [window.width]
    modality = modality_of(path, layout, frame - 1)
    line = (modality.slope, modality.intercept) if isinstance(modality, Rescale) else (None, None)
    plane["rescale_slope"], plane["rescale_intercept"] = line
    for field, keyword in (("modality", "Modality"), ("series", "SeriesInstanceUID")):
        if plane.get(field) is None:
            plane[field] = header.top.text(keyword)  # type: ignore[literal-required]
    _place_by_offset(plane, header, layout, frame)
    return plane


def _numbers(header: FrameHeader, macro: str, keyword: str, count: int) -> list[float] | None:
    """Read an attribute of a macro from the most specific place that has it; None unless all its values are there."""
    for elements in header.having(macro, keyword):
        found = elements.numbers(keyword)
        if len(found) == count:
            return found
    return None


def _place_by_offset(plane: Plane, header: FrameHeader, layout: Layout, frame: int) -> None:
    """Move the plane of a dose grid's frame by its offset along the normal (PS3.3 C.8.8.3.2)."""
    offsets = header.top.numbers("GridFrameOffsetVector")
    position, orientation = plane.get("image_position_patient"), plane.get("image_orientation_patient")
    if len(offsets) != (layout.number_of_frames or 1) or frame > len(offsets) or not position or not orientation:
        return
    rx, ry, rz, cx, cy, cz = orientation
    normal = (ry * cz - rz * cy, rz * cx - rx * cz, rx * cy - ry * cx)
    offset = offsets[frame - 1] - offsets[0]
    plane["image_position_patient"] = [place + offset * part for place, part in zip(position, normal, strict=True)]
