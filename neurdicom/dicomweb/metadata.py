"""WADO-RS metadata (PS3.18 10.4.1.1.2): all elements without bulk data, from the catalog alone."""

from typing import Any

from neurdicom.dicom.attributes import Level
from neurdicom.dicomweb.base import ACCEPT, MODEL_CONTENT, MODEL_OFFERS, TAG, DicomWebHandler
from neurdicom.errors import NotFound
from neurdicom.web.routing import operation

_ANSWERS: dict[int, Any] = {
    200: {"description": "The datasets.", "content": MODEL_CONTENT},
    304: "The client's copy is current.",
}


class InstanceMetadata(DicomWebHandler):
    """Metadata of one instance."""

    @operation("Get the metadata of an instance", tag=TAG, query=[ACCEPT], answers=_ANSWERS)
    async def get(self, study: str, series: str, instance: str) -> None:
        """Answer a list of one dataset."""
        choice = self.negotiate(MODEL_OFFERS[:2])
        found = await self.services.search.get(Level.INSTANCE, instance)
        if (found["study"], found["series"]) != (study, series):
            raise NotFound(f"there is no instance {instance!r} in series {series!r} of study {study!r}")
        header = await self.services.retrieve.header(instance)
        await self.send_body(b"[" + header + b"]", choice.offer.media_type)
