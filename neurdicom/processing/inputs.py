"""The files behind an instance or a series, as a task takes them."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog, Entity, Located, Location
from neurdicom.dicom.geometry.planes import FIELDS, MAX_SLICES
from neurdicom.dicom.geometry.slices import slice_order
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Query
from neurdicom.errors import Invalid, NotFound
from neurdicom.workers.executor import Input

#: Label maps, which lie over images and are none of their slices: Segmentation, Label Map Segmentation Storage.
_SEGMENTATIONS: Final = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"})


async def instance_input(catalog: Catalog, blobs: BlobStore, instance: str, frame: int | None) -> Input:
    """One frame of an instance, or all of them.

    Raises
    ------
    NotFound
        There is no such instance.
    Invalid
        It has no such frame.
    """
    location = await catalog.locate(instance)
    if location is None:
        raise NotFound(f"there is no instance {instance!r}")
    if frame is not None:
        _check_frame(frame, location)
    edits = await catalog.edits(instance) if location.edited else []
    return Input(
        instance,
        str(await blobs.path(location.blob.key)),
        location.blob.sha256,
        location.layout,
        frame,
        tuple(edit.as_dict() for edit in edits),
    )


async def whole_instance(catalog: Catalog, blobs: BlobStore, instance: str) -> tuple[Input, ...]:
    """All frames of an instance, as the inputs of a volume. Raises `NotFound`."""
    entity = await catalog.get(Level.INSTANCE, instance)
    located = await catalog.locate_all(Level.INSTANCE, instance)
    if entity is None or not located:
        raise NotFound(f"there is no instance {instance!r}")
    series = await catalog.get(Level.SERIES, entity["series"])
    return (await _volume_input(blobs, located[0], entity, series or {}),)


async def series_inputs(catalog: Catalog, blobs: BlobStore, series: str) -> tuple[Input, ...]:
    """The images of a series in slice order, all frames of each; what else it holds where it has no images.

    Raises
    ------
    NotFound
        There is no such series.
    Invalid
        It has more instances than a volume can have.
    """
    entity = await catalog.get(Level.SERIES, series)
    if entity is None:
        raise NotFound(f"there is no series {series!r}")
    if entity["images_count"] > MAX_SLICES:
        raise Invalid(f"the series has {entity['images_count']} instances; a volume has at most {MAX_SLICES} slices")
    page = await catalog.find(Query(Level.INSTANCE, (AnyOf(Level.SERIES.value, (series,)),), limit=None))
    located = {one.location.instance: one for one in await catalog.locate_all(Level.SERIES, series)}
    slices = await asyncio.to_thread(_slices, page.items, located)
    return tuple([await _volume_input(blobs, located[one["id"]], one, entity) for one in slices])


def _slices(entities: Sequence[Entity], located: dict[str, Located]) -> list[Entity]:
    """Those of a series' instances that a plugin gets, in order."""
    stored = [one for one in entities if one["id"] in located]
    images = [one for one in stored if located[one["id"]].location.layout.get("pixel_keyword") is not None]
    slices = [one for one in images if one.get("sop_class_uid") not in _SEGMENTATIONS]
    return slice_order(slices or images or stored)


async def _volume_input(blobs: BlobStore, located: Located, entity: Entity, series: Entity) -> Input:
    location = located.location
    known: dict[str, Any] = {name: entity.get(name) for name in FIELDS}
    return Input(
        location.instance,
        str(await blobs.path(location.blob.key)),
        location.blob.sha256,
        location.layout,
        None,
        tuple(edit.as_dict() for edit in located.edits),
        known | {"modality": series.get("modality")},
    )


def _check_frame(frame: int, location: Location) -> None:
    frames = location.layout.get("number_of_frames") or 1
    if not 1 <= frame <= frames:
        raise Invalid(f"frame is {frame}; the instance has {frames}", field="frame")
