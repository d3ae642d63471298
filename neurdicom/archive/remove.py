"""Deletion: from the catalog first, then the files that it no longer refers to, and what came of it."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Literal, Protocol

from neurdicom.archive.lookup import missing
from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import NotFound, Unavailable

_log = logging.getLogger(__name__)

#: Files deleted between two notes of it in the catalog.
_BATCH = 500


class DerivedResults(Protocol):
    """What was computed from stored instances, and goes with them."""

    async def stored_of(self, name: str, id: str) -> list[str]:
        """SOP Instance UIDs of the DICOM instances that were made of an entity's, or a tool's, results."""

    async def forget(self, level: Level, entity: str) -> None:
        """Delete results whose source was deleted."""

    async def forget_tool(self, tool_type: Literal["plugin", "model"], tool: str) -> None:
        """Delete what a plugin or a model computed."""


class InstalledTools(Protocol):
    """Installed plugins, or models."""

    async def delete(self, id: str) -> None:
        """Delete one. Raises `NotFound`."""


class RemoveService:
    """Deletes an entity with everything below it, and parents left empty; plugins and models; and their results.

    Parameters
    ----------
    catalog : Catalog
    blobs : BlobStore
    results : DerivedResults
    tools : Mapping[str, InstalledTools]
        Plugins and models, by type.
    """

    def __init__(
        self,
        catalog: Catalog,
        blobs: BlobStore,
        results: DerivedResults,
        tools: Mapping[Literal["plugin", "model"], InstalledTools],
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._results = results
        self._tools = tools

    async def delete(self, level: Level, entity: str, *, derived: bool = False) -> None:
        """Delete an entity; on return its files are gone too, and the results that came of it.

        The catalog notes the files as garbage in the same transaction, so that those which a crash or a failing
        disk leaves are deleted at the next start. A download that is under way ends whole.

        Parameters
        ----------
        level : Level
        entity : str
        derived : bool
            Delete the DICOM instances that were made of its results as well, wherever they lie.

        Raises
        ------
        NotFound
            Nothing has this id.
        """
        made = await self._results.stored_of(level.value, entity) if derived else []
        keys = await self._catalog.delete(level, entity)
        if keys is None:
            raise missing(level, entity)
        try:
            for start in range(0, len(keys), _BATCH):
                batch = keys[start : start + _BATCH]
                await self._blobs.delete(batch)
                await self._catalog.forget_garbage(batch)
        except (OSError, Unavailable) as error:
            _log.warning("files of %s %s stay until the next start: %s", level, entity, error)
        await self._results.forget(level, entity)
        await self._delete_made(made)

    async def delete_tool(self, tool_type: Literal["plugin", "model"], id: str, *, derived: bool = False) -> None:
        """Delete a plugin or a model, and what it computed; requests that run it get their answers.

        Parameters
        ----------
        tool_type : {"plugin", "model"}
        id : str
        derived : bool
            Delete the DICOM instances that were made of its results as well.

        Raises
        ------
        NotFound
            There is none of this id.
        """
        made = await self._results.stored_of(tool_type, id) if derived else []
        await self._tools[tool_type].delete(id)
        await self._results.forget_tool(tool_type, id)
        await self._delete_made(made)

    async def _delete_made(self, instances: Sequence[str]) -> None:
        for instance in dict.fromkeys(instances):
            with suppress(NotFound):  # it went with its source
                await self.delete(Level.INSTANCE, instance)
