"""What a processing job consists of: the instances, frames or series that are selected and fit the tool."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal

import orjson

from neurdicom.archive.selection import Selection, Selector
from neurdicom.catalog.base import Catalog, Entity
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Between, Condition, Query
from neurdicom.errors import Invalid
from neurdicom.plugins.tools import Tool
from neurdicom.processing.dicom_output.common_modules import STATION

#: Modalities whose instances have pixels that are no picture of a patient, or none.
_NO_IMAGES = frozenset({"SEG", "SR", "PR", "KO", "DOC", "RTSTRUCT", "RTPLAN", "RTRECORD", "REG", "AU", "ECG"})

#: Why something that is selected is left out.
Skipped = Counter[str]


class Items:
    """Finds the items of processing jobs.

    An item is a small mapping: `series`, `instance` (None where the tool works on series) and `frame` (None where it
    gets the whole instance). Left out is what the tool is not made for: series of other modalities than its META.json
    names, and instances without pixels, or that are no images, unless it names their modality. So are series of results
    that were stored here, unless they are selected by their own ids: or a second run over a study would process those
    of the first.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._selector = Selector(catalog)

    async def check(self, selection: Selection, tool: Tool) -> None:
        """See that what is selected is there, and that the tool works on it. Raises `NotFound` or `Invalid`."""
        await self._selector.check(selection)
        if tool.level == "series" and Level.INSTANCE in selection.ids and len(selection.ids) > 1:
            text = f"the {tool.type} {tool.name!r} takes series or multi-frame instances, not both"
            raise Invalid(text, field="instances")

    async def walk(
        self, selection: Selection, tool: Tool, frame: int | None, skipped: Skipped
    ) -> AsyncIterator[dict[str, Any]]:
        """The items, a series at a time; what is left out is counted in `skipped`, in instances."""
        modalities = modalities_of(tool)
        derived = _Derived(self._catalog, selection)
        if unit_of(tool, selection) == "series":
            async for series in self._selector.series(selection):
                if not _fits(series, modalities):
                    skipped["modality"] += series["images_count"]
                elif await derived.has(series["id"]):
                    skipped["derived"] += series["images_count"]
                elif await self._has_pixels(series, modalities):
                    yield {"series": series["id"], "instance": None, "frame": None}
                else:
                    skipped["no_pixels"] += series["images_count"]
            return
        async for series, instances in self._selector.instances(selection):
            if not _fits(series, modalities):
                skipped["modality"] += len(instances)
                continue
            if await derived.has(series["id"]):
                skipped["derived"] += len(instances)
                continue
            for instance in instances:
                if not (instance.get("rows") or _is_named(series, modalities)):
                    skipped["no_pixels"] += 1
                    continue
                for each in _frames(instance, tool, frame):
                    yield {"series": series["id"], "instance": instance["id"], "frame": each}

    async def count(self, selection: Selection, tool: Tool) -> int | None:
        """About how many items there are, as the catalog can tell at once; None where it can't."""
        queries = selection.queries()
        if len(queries) > 1:
            return None
        _, conditions = queries[0]
        modalities = modalities_of(tool)
        if modalities:
            conditions = (*conditions, AnyOf("modality", tuple(modalities)))
        unit = unit_of(tool, selection)
        if unit == "series":
            return await self._total(Level.SERIES, conditions)
        pixels = Between("rows", 1, None)
        if unit == "frame" and await self._total(Level.INSTANCE, (*conditions, Between("number_of_frames", 2, None))):
            return None
        return await self._total(Level.INSTANCE, conditions if modalities else (*conditions, pixels))

    async def _total(self, level: Level, conditions: tuple[Condition, ...]) -> int:
        return (await self._catalog.find(Query(level, conditions, limit=1))).total

    async def _has_pixels(self, series: Entity, modalities: frozenset[str]) -> bool:
        if _is_named(series, modalities):
            return True
        of_it = AnyOf("series", (series["id"],))
        return bool(await self._total(Level.INSTANCE, (of_it, Between("rows", 1, None))))


def unit_of(tool: Tool, selection: Selection) -> Literal["series", "instance", "frame"]:
    """What one item is; a tool of level `series` gets instances that are selected as such as volumes of their own."""
    if tool.level == "series":
        return "instance" if selection.level is Level.INSTANCE or Level.INSTANCE in selection.ids else "series"
    return "frame" if tool.per_frame else "instance"


class _Derived:
    """Series of results that a selection does not mean."""

    def __init__(self, catalog: Catalog, selection: Selection) -> None:
        self._catalog = catalog
        self._is_meant = Level.SERIES in selection.ids or Level.INSTANCE in selection.ids
        self._last: tuple[str, bool] = ("", False)

    async def has(self, series: str) -> bool:
        """Whether a series is one of them."""
        if self._is_meant:
            return False
        if series != self._last[0]:
            self._last = (series, bool(await is_derived_here(self._catalog, series)))
        return self._last[1]


async def is_derived_here(catalog: Catalog, series: str) -> bool | None:
    """Tell if a series holds results that this server, or another NeurDICOM, has stored; None if it is gone."""
    sample = (await catalog.samples(Level.SERIES, [series])).get(series)
    if sample is None:
        return None
    # Contributing Equipment Sequence (0018,A001), Station Name (0008,1010)
    equipment: list[dict[str, Any]] = orjson.loads(sample.header).get("0018A001", {}).get("Value", [])
    return any(STATION in item.get("00081010", {}).get("Value", []) for item in equipment if item)


def modalities_of(tool: Tool) -> frozenset[str]:
    """The modalities that META.json names, in capitals; none means all."""
    named = tool.meta.get("modalities") or ()
    texts = named.replace(",", " ").split() if isinstance(named, str) else named
    return frozenset(text.strip().upper() for text in texts if text.strip() not in ("", "*"))


def _fits(series: Mapping[str, Any], modalities: frozenset[str]) -> bool:
    modality = (series.get("modality") or "").upper()
    return modality in modalities if modalities else modality not in _NO_IMAGES


def _is_named(series: Mapping[str, Any], modalities: frozenset[str]) -> bool:
    return (series.get("modality") or "").upper() in modalities


def _frames(instance: Mapping[str, Any], tool: Tool, frame: int | None) -> range | tuple[int | None, ...]:
    if frame is not None:
        return (frame,)
    is_whole = tool.level == "series" or not tool.per_frame
    return (None,) if is_whole else range(1, (instance.get("number_of_frames") or 1) + 1)
