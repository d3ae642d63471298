"""What the handlers of patients, studies, series and instances share beyond lists: one entity."""

from neurdicom.dicom.attributes import Level
from neurdicom.web.base import ApiHandler


async def send_entity(handler: ApiHandler, level: Level, entity: str) -> None:
    """Finish with one entity."""
    handler.send_json(await handler.services.search.get(level, entity))


async def change_entity(handler: ApiHandler, level: Level, entity: str) -> None:
    """Apply the edit in the body, and finish with the entity as it is from now on."""
    user = handler.principal.email if handler.principal else ""
    changed = await handler.services.edit.change(level, entity, handler.json_body(), user=user)
    handler.send_json(changed)


async def delete_entity(handler: ApiHandler, level: Level, entity: str) -> None:
    """Delete one entity with everything below, and finish empty."""
    await handler.services.remove.delete(level, entity)
    handler.set_status(204)
    handler.finish()
