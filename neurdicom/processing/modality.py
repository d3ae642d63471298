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

#: Seconds for which an instance's modality is cached, and largest number of cached ones: a slider sends thirty requests
#: a second, and the catalog would take a tenth of each. An edit of the modality has an effect after that time.
_SECONDS = 10.0
_MOST_REMEMBERED = 4096

#: Largest number of pairs of a tool's version and a modality that are logged until the server restarts.
_MOST_LOGGED = 1000

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
            SOP Instance UID.

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
