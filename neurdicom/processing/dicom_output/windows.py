"""The window of a derived image: its source's, where its values are of the same kind, or else their full range."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydicom import Dataset
from pydicom.valuerep import format_number_as_ds

from neurdicom.pixels.grayscale.voi import Window, WindowFunction
from neurdicom.processing.dicom_output.attributes import sound_elements
from neurdicom.processing.dicom_output.common_modules import Record
from neurdicom.processing.dicom_output.sources import BROKEN, SourceFrame
from neurdicom.processing.dicom_output.values import Stored

#: Wider windows are left to the viewer, since some software reads them as 32-bit integers.
_WIDEST: Final = 2e9
_NARROWEST: Final = 1.0
#: Values that spread over less of the source's window, such as probabilities, are of another kind.
_LEAST_SPREAD: Final = 0.1


@dataclass(frozen=True, slots=True)
class SourceWindow:
    """The windows of a source frame (PS3.3 C.11.2), the first of which is shown.

    Attributes
    ----------
    windows : tuple of Window
        At least one, all valid and of one function.
    explanations : tuple of str
        Window Center & Width Explanation of each; empty where the source has not as many.
    """

    windows: tuple[Window, ...]
    explanations: tuple[str, ...]

    def fits(self, low: float, high: float) -> bool:
        """Tell whether values from `low` to `high`, in its unit, may be of the kind that it is made for."""
        first = self.windows[0]
        begin, end = first.center - first.width / 2, first.center + first.width / 2
        return low < end and high > begin and high - low >= _LEAST_SPREAD * first.width


def describe_window(ds: Dataset, stored: Stored, window: SourceWindow | None = None) -> None:
    """Set the windows of the source where they fit, or else one from the minimum to the maximum of all values.

    Parameters
    ----------
    ds : Dataset
        The object.
    stored : Stored
        All the result's values.
    window : SourceWindow, optional
        Windows of the source, if its values have the unit of the result's.
    """
    low = float(stored.array.min()) * stored.slope + stored.intercept
    high = float(stored.array.max()) * stored.slope + stored.intercept
    if window is not None and window.fits(low, high):
        ds.WindowCenter = [format_number_as_ds(each.center) for each in window.windows]
        ds.WindowWidth = [format_number_as_ds(each.width) for each in window.windows]
        if window.explanations:
            ds.WindowCenterWidthExplanation = list(window.explanations)
        if window.windows[0].function is not WindowFunction.LINEAR:
            ds.VOILUTFunction = str(window.windows[0].function)
        return
    if not (high - low <= _WIDEST and (high - low >= _NARROWEST or not stored.is_rescaled)):
        return
    # The lower end is center - 0.5 - (width - 1) / 2. Of the function LINEAR, since viewers (OHIF 3.13) fail with
    # LINEAR_EXACT; it has no width below 1, so that a narrower range is left to the viewer as well.
    ds.WindowCenter = format_number_as_ds((low + high + 1) / 2)
    ds.WindowWidth = format_number_as_ds(high - low + 1)


def window_of(plane: SourceFrame) -> SourceWindow | None:
    """Read the windows of a source frame: of its functional groups, the shared ones, or the header."""
    for ds in _places(plane):
        name = str(ds.get("VOILUTFunction") or "").strip().upper()
        function = next((each for each in WindowFunction if each == name), WindowFunction.LINEAR)
        texts = [str(text or "") for text in _values(ds, "WindowCenterWidthExplanation")]
        pairs = [*zip(_numbers(ds, "WindowCenter"), _numbers(ds, "WindowWidth"), strict=False)]
        is_explained = len(texts) == len(pairs) and bool(sound_elements(ds, ["WindowCenterWidthExplanation"]))
        found = [
            (Window(center, width, function), text)
            for (center, width), text in zip(pairs, texts if is_explained else [""] * len(pairs), strict=True)
            if center is not None and width is not None
        ]
        valid = [(window, text) for window, text in found if window.is_valid]
        if valid:
            explanations = tuple(text for _, text in valid) if is_explained else ()
            return SourceWindow(tuple(window for window, _ in valid), explanations)
    return None


def common_window(record: Record, planes: Sequence[SourceFrame]) -> SourceWindow | None:
    """Read the windows that all source frames have, if they are in the unit of the result; None if they differ."""
    if record.tool["input"] != "modality" and not all(map(_is_in_stored_values, planes)):
        return None
    found = {window_of(plane) for plane in planes}
    return found.pop() if len(found) == 1 else None


def _is_in_stored_values(plane: SourceFrame) -> bool:
    """Tell whether a frame's modality transformation changes nothing, so that windows are in stored values."""
    for ds in _places(plane, "PixelValueTransformationSequence"):
        if "ModalityLUTSequence" in ds:
            return False
        slope, intercept = ([*_numbers(ds, keyword), None][0] for keyword in ("RescaleSlope", "RescaleIntercept"))
        if slope is not None or intercept is not None:
            return slope in (None, 0, 1) and not intercept
    return True


def _places(plane: SourceFrame, macro: str = "FrameVOILUTSequence") -> Iterator[Dataset]:
    """Yield the datasets that may hold what a macro has, the most specific first."""
    groups = (
        ("PerFrameFunctionalGroupsSequence", (plane.frame or 1) - 1),
        ("SharedFunctionalGroupsSequence", 0),
    )
    for keyword, index in groups:
        with contextlib.suppress(LookupError, TypeError):
            yield plane.ds[keyword].value[index][macro].value[0]
    yield plane.ds


def _values(ds: Dataset, keyword: str) -> list[Any]:
    value = ds.get(keyword)
    return [] if value is None else [value] if isinstance(value, (str, int, float)) else list(value)


def _numbers(ds: Dataset, keyword: str) -> list[float | None]:
    return [_number(value) for value in _values(ds, keyword)]


def _number(value: Any) -> float | None:
    with contextlib.suppress(*BROKEN):
        number = float(value)
        return number if math.isfinite(number) else None
    return None
