"""DELETE below the DICOMweb base, which is not in PS3.18, but which clients know from other servers."""

from neurdicom.archive.remove import RemoveService
from neurdicom.archive.search import SearchService
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicomweb.base import TAG, DicomWebHandler
from neurdicom.errors import Forbidden, NotFound
from neurdicom.http.operation import operation

_DESCRIPTION = "Refused with 403 unless the setting `dicomweb_delete` allows it. Parents left empty are deleted too."
_ANSWERS = {204: "Deleted, with its files.", 403: "The setting `dicomweb_delete` does not allow it."}


class Remove(DicomWebHandler):
    """Handler that deletes a study, a series or an instance, with everything below."""

    remove: RemoveService
    search: SearchService

    @operation("Delete a study, series or instance", tag=TAG, description=_DESCRIPTION, answers=_ANSWERS)
    async def delete(self, study: str, series: str | None = None, instance: str | None = None) -> None:
        """Delete the study, series or instance of the path."""
        if not self.context.settings.dicomweb_delete:
            raise Forbidden(
                "DELETE is not allowed at the DICOMweb base (setting dicomweb_delete); the API's "
                "DELETE /api/studies/{id} does the same"
            )
        if instance is not None:
            level, entity = Level.INSTANCE, instance
        elif series is not None:
            level, entity = Level.SERIES, series
        else:
            level, entity = Level.STUDY, study
        if level is not Level.STUDY:
            found = await self.search.get(level, entity)
            if found["study"] != study or (instance is not None and found["series"] != series):
                raise NotFound(f"there is no {level} {entity!r} at this path")
        await self.remove.delete(level, entity)
        self.set_status(204)
        self.finish()
