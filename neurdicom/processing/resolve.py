"""Resolution of requests to tools and files, and of a job's selection to its items; modalities that tools name."""

import asyncio
import logging
import re
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

import orjson

from neurdicom.archive.lookup import get_entity, locate_instance, missing
from neurdicom.archive.selection import Selection, Selector
from neurdicom.archive.verify.guard import FileGuard
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Entity, Located, Location
from neurdicom.coordination import SerialThread
from neurdicom.dicom.geometry.planes import FIELDS, MAX_SLICES
from neurdicom.dicom.geometry.slices import slice_order
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Between, Condition, Query
from neurdicom.errors import Damaged, Invalid, NotFound
from neurdicom.plugins.tools import Tool, ToolSet, ToolType
from neurdicom.processing.dicom_output.common_modules import STATION
from neurdicom.processing.run import ResolvedRun, RunRequest
from neurdicom.workers.executor import Input

log = logging.getLogger(__name__)

#: SOP Classes of label maps, which overlay images and are no slices: Segmentation, Label Map Segmentation Storage.
_SEGMENTATIONS: Final = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"})

#: Modalities whose instances have no pixels, or pixels that are no picture of a patient.
_NO_IMAGES = frozenset({"SEG", "SR", "PR", "KO", "DOC", "RTSTRUCT", "RTPLAN", "RTRECORD", "REG", "AU", "ECG"})

#: Number of selected instances that are left out, by reason.
Skipped = Counter[str]


class Resolver:
    """Finder of a request's tool version and files.

    Parameters
    ----------
    catalog : Catalog
        Locates instances.
    guard : FileGuard
        Gives the files.
    tools : Mapping[ToolType, ToolSet]
        Plugins and models, by type.
    """

    def __init__(self, catalog: Catalog, guard: FileGuard, tools: Mapping[ToolType, ToolSet]) -> None:
        self._catalog = catalog
        self._guard = guard
        self._tools = tools
        self._conversions = SerialThread()

    def tools(self, tool_type: ToolType) -> ToolSet:
        """Return the installed tools of a type. Raises `NotFound`."""
        if tool_type not in self._tools:
            raise NotFound(f"this server has no {tool_type}s")
        return self._tools[tool_type]

    async def resolve(self, request: RunRequest) -> ResolvedRun:
        """Resolve a request.

        Raises
        ------
        NotFound
            There is no such tool, instance or series.
        Ambiguous
            The UID names several instances or series.
        Damaged
            A file of it is damaged.
        Conflict
            The version that the request names is gone.
        Invalid
            A parameter or the frame is wrong, the tool works on another level, or the series has too many instances.
        """
        tool = self.tools(request.tool_type).tool(request.tool, request.digest)
        entity, inputs = await self._inputs(request, tool)  # what does not exist goes before what is wrong
        request = replace(request, entity=entity)
        if not request.is_large:
            return ResolvedRun(request.converted_for(tool), tool, inputs)
        converted = await self._conversions.run(request.converted_for, tool)
        run = ResolvedRun(converted, tool, inputs)
        await self._conversions.run(run.compute_digests)
        return run

    async def damage_of(self, run: ResolvedRun) -> Damaged | None:
        """Find out whether a file of a run is damaged, after the run failed."""
        return await self._guard.explain([each.key for each in run.inputs])

    async def _inputs(self, request: RunRequest, tool: Tool) -> tuple[str, tuple[Input, ...]]:
        """Find the entity's key, and the files of a request, as many as one call of the tool gets."""
        if tool.level == "series":
            find = self._series if request.level is Level.SERIES else self._whole_instance
            return await find(request.entity)
        if request.level is not Level.INSTANCE:
            raise Invalid(f"the {tool.type} {tool.name!r} works on instances, not on a {request.level}")
        one = await self._instance(request.entity, request.frame)
        return one.key, (one,)

    async def _instance(self, instance: str, frame: int | None) -> Input:
        """Find one frame of an instance, or all of them."""
        location = await locate_instance(self._catalog, instance)
        if frame is not None:
            _check_frame(frame, location)
        edits = await self._catalog.edits(location.instance) if location.edited else []
        return Input(
            uid_of(location.instance),
            str(await self._guard.path(location)),
            location.blob.sha256,
            location.layout,
            frame,
            tuple(edit.to_wire() for edit in edits),
            key=location.instance,
        )

    async def _whole_instance(self, instance: str) -> tuple[str, tuple[Input, ...]]:
        """Find all frames of an instance, as the inputs of a volume."""
        entity = await get_entity(self._catalog, Level.INSTANCE, instance)
        located = await self._catalog.locate_all(Level.INSTANCE, entity["key"])
        if not located:  # deleted meanwhile
            raise missing(Level.INSTANCE, instance)
        series = await self._catalog.get(Level.SERIES, located[0].location.series)
        return entity["key"], (await self._volume_input(located[0], entity, series or {}),)

    async def _series(self, series: str) -> tuple[str, tuple[Input, ...]]:
        """Find the images of a series in slice order, with all frames; all its instances if none is an image."""
        entity = await get_entity(self._catalog, Level.SERIES, series)
        if entity["images_count"] > MAX_SLICES:
            raise Invalid(
                f"the series has {entity['images_count']} instances; a volume has at most {MAX_SLICES} slices"
            )
        key = entity["key"]
        page = await self._catalog.find(Query(Level.INSTANCE, (AnyOf(Level.SERIES.value, (key,)),), limit=None))
        located = {one.location.instance: one for one in await self._catalog.locate_all(Level.SERIES, key)}
        slices = await asyncio.to_thread(_slices, page.items, located)
        return key, tuple([await self._volume_input(located[one["key"]], one, entity) for one in slices])

    async def _volume_input(self, located: Located, entity: Entity, series: Entity) -> Input:
        location = located.location
        known: dict[str, Any] = {name: entity.get(name) for name in FIELDS}
        return Input(
            uid_of(location.instance),
            str(await self._guard.path(location)),
            location.blob.sha256,
            location.layout,
            None,
            tuple(edit.to_wire() for edit in located.edits),
            known | {"modality": series.get("modality"), "series": uid_of(location.series)},
            location.instance,
        )


def _slices(entities: Sequence[Entity], located: dict[str, Located]) -> list[Entity]:
    """Choose the instances of a series that a plugin gets, in slice order."""
    stored = [one for one in entities if one["key"] in located]
    images = [one for one in stored if located[one["key"]].location.layout.get("pixel_keyword") is not None]
    slices = [one for one in images if one.get("sop_class_uid") not in _SEGMENTATIONS]
    return slice_order(slices or images or stored)


def _check_frame(frame: int, location: Location) -> None:
    frames = location.layout.get("number_of_frames") or 1
    if not 1 <= frame <= frames:
        raise Invalid(f"frame is {frame}; the instance has {frames} frame{'' if frames == 1 else 's'}", field="frame")


class JobItems:
    """Finder of the items of processing jobs.

    An item is a small mapping: `series` and `instance` (keys; None where the tool works on series) and `frame` (None
    where it gets the whole instance). Left out are series of modalities that the tool's META.json does not name, and
    instances without pixels, or that are no images, unless META.json names their modality. Left out, too, are series of
    results stored by a NeurDICOM, unless they are selected by id: otherwise a second run over a study would process the
    results of the first.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._selector = Selector(catalog)

    async def resolve(self, selection: Selection, tool: Tool) -> Selection:
        """Name selected entities by keys. Raises `NotFound`, `Ambiguous`, or `Invalid` if the tool can't take them."""
        resolved = await self._selector.resolve(selection)
        if tool.level == "series" and Level.INSTANCE in selection.ids and len(selection.ids) > 1:
            text = f"the {tool.type} {tool.name!r} takes series or multi-frame instances, not both"
            raise Invalid(text, field="instances")
        return resolved

    async def walk(
        self, selection: Selection, tool: Tool, frame: int | None, skipped: Skipped
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the items, a series at a time.

        Parameters
        ----------
        selection : Selection
            The entities to run on.
        tool : Tool
            The tool.
        frame : int or None
            Number of the frame, from 1; None: all.
        skipped : Counter
            Counts the instances that are left out, by reason.
        """
        modalities = modalities_of(tool)
        derived = _Derived(self._catalog, selection)
        if unit_of(tool, selection) == "series":
            async for series in self._selector.series(selection):
                if not _fits(series, modalities):
                    skipped["modality"] += series["images_count"]
                elif await derived.has(series["key"]):
                    skipped["derived"] += series["images_count"]
                elif await self._has_pixels(series, modalities):
                    yield {"series": series["key"], "instance": None, "frame": None}
                else:
                    skipped["no_pixels"] += series["images_count"]
            return
        async for series, instances in self._selector.instances(selection):
            if not _fits(series, modalities):
                skipped["modality"] += len(instances)
                continue
            if await derived.has(series["key"]):
                skipped["derived"] += len(instances)
                continue
            for instance in instances:
                if not (instance.get("rows") or is_named(series, modalities)):
                    skipped["no_pixels"] += 1
                    continue
                for each in _frames(instance, tool, frame):
                    yield {"series": series["key"], "instance": instance["key"], "frame": each}

    async def count(self, selection: Selection, tool: Tool) -> int | None:
        """Estimate the number of items, where the catalog can count them at once; None where it can't."""
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
        if is_named(series, modalities):
            return True
        conditions = (AnyOf("series", (series["key"],)), Between("rows", 1, None))
        return bool((await self._catalog.find(Query(Level.INSTANCE, conditions, limit=1, counted=False))).items)


def unit_of(tool: Tool, selection: Selection) -> Literal["series", "instance", "frame"]:
    """Name the unit of an item; a tool of level `series` takes instances that are selected by id as volumes."""
    if tool.level == "series":
        return "instance" if selection.level is Level.INSTANCE or Level.INSTANCE in selection.ids else "series"
    return "frame" if tool.per_frame else "instance"


class _Derived:
    """Check for series of stored results, which a selection includes only if it names them."""

    def __init__(self, catalog: Catalog, selection: Selection) -> None:
        self._catalog = catalog
        self._is_meant = Level.SERIES in selection.ids or Level.INSTANCE in selection.ids
        self._last: tuple[str, bool] = ("", False)

    async def has(self, series: str) -> bool:
        """Tell whether a series is one of them."""
        if self._is_meant:
            return False
        if series != self._last[0]:
            self._last = (series, bool(await is_derived_here(self._catalog, series)))
        return self._last[1]


async def is_derived_here(catalog: Catalog, series: str) -> bool | None:
    """Tell whether a series holds results that a NeurDICOM has stored; None if it is gone."""
    sample = (await catalog.samples(Level.SERIES, [series])).get(series)
    if sample is None:
        return None
    # Contributing Equipment Sequence (0018,A001), Station Name (0008,1010)
    equipment: list[dict[str, Any]] = orjson.loads(sample.header).get("0018A001", {}).get("Value", [])
    return any(STATION in item.get("00081010", {}).get("Value", []) for item in equipment if item)


def modalities_of(tool: Tool) -> frozenset[str]:
    """List the modalities that META.json names, in capitals; empty means all."""
    named = tool.meta.get("modalities") or ()
    texts = named.replace(",", " ").split() if isinstance(named, str) else named
    return frozenset(text.strip().upper() for text in texts if text.strip() not in ("", "*"))


def _fits(series: Mapping[str, Any], modalities: frozenset[str]) -> bool:
    modality = (series.get("modality") or "").upper()
    return modality in modalities if modalities else modality not in _NO_IMAGES


def is_named(series: Mapping[str, Any], modalities: frozenset[str]) -> bool:
    """Tell whether a series' modality is one of these."""
    return (series.get("modality") or "").upper() in modalities


def _frames(instance: Mapping[str, Any], tool: Tool, frame: int | None) -> range | tuple[int | None, ...]:
    if frame is not None:
        return (frame,)
    is_whole = tool.level == "series" or not tool.per_frame
    return (None,) if is_whole else range(1, (instance.get("number_of_frames") or 1) + 1)


#: Seconds for which an instance's modality is cached, and largest number of cached ones: a slider sends thirty requests
#: a second, and the catalog would take a tenth of each. An edit of the modality has an effect after that time.
_SECONDS = 10.0
_MOST_REMEMBERED = 4096

#: Largest number of pairs of a tool's version and a modality that are logged until the server restarts.
_MOST_LOGGED = 1000

#: Most characters of a warning, which is sent in a header: proxies refuse long ones.
_LONGEST_WARNING = 500

#: Characters that the quoted text of a Warning header may not contain (RFC 9111 5.5).
_UNSAFE = re.compile(r"[^ !#-\[\]-~]")


class ModalityCheck:
    """Comparison of an instance's modality with those that a tool's META.json names.

    Parameters
    ----------
    catalog : Catalog
        Catalog of the instances.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._remembered: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._logged: set[tuple[str, str]] = set()

    async def warning(self, tool: Tool, instance: str) -> str | None:
        """Compare the modality of an instance, and log a mismatch once for each version of the tool and modality.

        Parameters
        ----------
        tool : Tool
            The tool that runs.
        instance : str
            Id or key of the instance.

        Returns
        -------
        str or None
            Warning of one sentence in ASCII, without quotes; None where the modality matches.

        Raises
        ------
        NotFound
            There is no such instance.
        """
        named = modalities_of(tool)
        if not named:
            return None
        modality = await self._modality(instance)
        if is_named({"modality": modality}, named):
            return None
        found = modality or "of no modality"
        text = f"the {tool.type} {tool.id} is made for {', '.join(sorted(named))}, and this instance is {found}"
        key = (tool.digest, found)
        if key not in self._logged and len(self._logged) < _MOST_LOGGED:
            self._logged.add(key)
            log.warning("%s: %s; the next ones of these are not logged", text, instance)
        return _UNSAFE.sub("?", text[:_LONGEST_WARNING])

    async def _modality(self, instance: str) -> str:
        now = time.monotonic()
        until, modality = self._remembered.get(instance, (now, ""))
        if until > now:
            return modality
        location = await locate_instance(self._catalog, instance)
        series = await self._catalog.get(Level.SERIES, location.series) or {}
        modality = series.get("modality") or ""
        self._remembered[instance] = (now + _SECONDS, modality)
        self._remembered.move_to_end(instance)
        if len(self._remembered) > _MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return modality
