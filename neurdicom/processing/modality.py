"""Warnings of tools that run on instances of a modality which their META.json does not name."""

import logging
import re
import time
from collections import OrderedDict

from neurdicom.archive.lookup import get_entity
from neurdicom.catalog.base import Catalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.plugins.tools import Tool
from neurdicom.processing.resolve import is_named, modalities_of

log = logging.getLogger(__name__)

#: Seconds for which an instance's modality is remembered, and of how many: a slider asks thirty times a second, and the
#: catalog's answer would take a tenth of the whole call. An edit of the modality shows after that time.
_SECONDS = 10.0
_MOST_REMEMBERED = 4096

#: Pairs of a tool's version and a modality that are logged until the server starts anew.
_MOST_LOGGED = 1000

#: What may not stand in the quoted text of a Warning header (RFC 9111 5.5).
_UNSAFE = re.compile(r"[^ !#-\[\]-~]")


class ModalityCheck:
    """Comparison of an instance's modality with those that a tool's META.json names.

    Parameters
    ----------
    catalog : Catalog
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._remembered: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._logged: set[tuple[str, str]] = set()

    async def warning(self, tool: Tool, instance: str) -> str | None:
        """Compare, and log what does not fit once for each version and modality.

        Parameters
        ----------
        tool : Tool
        instance : str
            SOP Instance UID.

        Returns
        -------
        str or None
            A sentence in ASCII, without quotes; None where there is nothing to warn of.

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
        return _UNSAFE.sub("?", text)

    async def _modality(self, instance: str) -> str:
        now = time.monotonic()
        until, modality = self._remembered.get(instance, (now, ""))
        if until > now:
            return modality
        entity = await get_entity(self._catalog, Level.INSTANCE, instance)
        series = await self._catalog.get(Level.SERIES, entity["series"]) or {}
        modality = series.get("modality") or ""
        self._remembered[instance] = (now + _SECONDS, modality)
        self._remembered.move_to_end(instance)
        if len(self._remembered) > _MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return modality
