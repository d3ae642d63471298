"""META.json of a plugin, validated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from neurdicom.errors import Invalid
from neurdicom.plugins.params import Param
from neurdicom.schema.validator import SchemaValidator
from neurdicom.workers.packages.meta import PackageMeta, check_meta, package_fields, parse_meta, plugin_schema
from neurdicom.workers.program import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(PackageMeta):
    """META.json of a plugin, validated; its `guid` is `plugin_guid`.

    Attributes
    ----------
    params : Mapping[str, Param]
        Parameters by name, in the order of the file.
    result : {"IMAGE", "JSON", "SEGMENTATION", "MEASUREMENTS"} or None
        Declared kind of result; None: it follows from what the plugin returned.
    produces : Mapping[str, Any]
        The whole `result`, with the meaning of a segmentation's labels or of measurements, for DICOM objects.
    level : {"instance", "series"}
        Level of one call: it gets one instance, or a whole series.
    input : {"stored", "modality"}
        Pixel values that a native plugin gets: stored, or after the modality LUT.
    geometry : bool
        Whether a native plugin gets `_image` for single images, too.
    library : str or None
        File name of the shared library, where META.json gives it.
    models : tuple of str
        Ids or names of the models that the plugin uses.
    """

    params: Mapping[str, Param] = field(default_factory=dict)
    result: Result | None = None
    produces: Mapping[str, Any] = field(default_factory=dict)
    level: Literal["instance", "series"] = "instance"
    input: Literal["stored", "modality"] = "stored"
    geometry: bool = False
    library: str | None = None
    models: tuple[str, ...] = ()

    def to_api(self) -> dict[str, Any]:
        """Return the whole META.json as the API shows it, with defaults filled in."""
        return {
            **PackageMeta.to_api(self),
            "params": {name: param.to_api() for name, param in self.params.items()},
            "level": self.level,
            "input": self.input,
        }


@cache
def _validator() -> Any:
    return SchemaValidator(plugin_schema())


def parse_manifest(data: bytes) -> Manifest:
    """Parse and validate the bytes of a META.json.

    Raises
    ------
    Invalid
        They are not JSON in UTF-8, or do not meet the schema; `field` is the dotted path of the fault.
    """
    return manifest_of(parse_meta(data))


def manifest_of(meta: Any) -> Manifest:
    """Validate a META.json that is parsed already. Raises `Invalid` as `parse_manifest`."""
    check_meta(meta, _validator())
    given = {key: value for key, value in meta.items() if value is not None}
    produces = given.get("result", {})
    _check_segments(produces.get("segments") or [])
    return Manifest(
        **package_fields(meta),
        guid=given["plugin_guid"],
        params={name: Param.from_meta(name, described) for name, described in given.get("params", {}).items()},
        result=produces.get("type"),
        produces=produces,
        level=given.get("level", "instance"),
        input=given.get("input", "stored"),
        geometry=given.get("geometry", False),
        library=given.get("library"),
        models=tuple(given.get("models", [])),
    )


def _check_segments(segments: list[dict[str, Any]]) -> None:
    """Refuse two segments with one number, which a schema can't express."""
    seen: set[int] = set()
    for index, segment in enumerate(segments):
        if segment["number"] in seen:
            where = f"result.segments.{index}.number"
            raise Invalid(f"META.json: {where}: two segments have the number {segment['number']}", field=where)
        seen.add(segment["number"])
