"""Which stored series were derived here."""

from typing import Any

import orjson

from neurdicom.catalog.base import Catalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.processing.dicom_output.common_modules import STATION


async def is_derived_here(catalog: Catalog, series: str) -> bool | None:
    """Whether a series holds results that this server, or another NeurDICOM, has stored; None if it is gone."""
    sample = (await catalog.samples(Level.SERIES, [series])).get(series)
    if sample is None:
        return None
    # Contributing Equipment Sequence (0018,A001), Station Name (0008,1010)
    equipment: list[dict[str, Any]] = orjson.loads(sample.header).get("0018A001", {}).get("Value", [])
    return any(STATION in item.get("00081010", {}).get("Value", []) for item in equipment if item)
