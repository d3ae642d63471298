"""The files behind an instance or a series, as a task takes them."""

from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog, Location
from neurdicom.errors import Invalid, NotFound
from neurdicom.runtime.execution import Input


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


def _check_frame(frame: int, location: Location) -> None:
    frames = location.layout.get("number_of_frames") or 1
    if not 1 <= frame <= frames:
        raise Invalid(f"frame is {frame}; the instance has {frames}", field="frame")
