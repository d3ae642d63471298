"""META.json of a plugin."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from jsonschema import Draft202012Validator

from neurdicom.errors import Invalid
from neurdicom.plugins.params import Param
from neurdicom.workers.packages.meta import PackageMeta, check_meta, package_fields, parse_meta, plugin_schema
from neurdicom.workers.program import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(PackageMeta):
    """META.json of a plugin, validated; its `guid` is `plugin_guid`.

    Attributes
    ----------
    params : Mapping[str, Param]
        By name, in the order of the file.
    result : {"IMAGE", "JSON", "SEGMENTATION", "MEASUREMENTS"} or None
        What the plugin answers; None: it follows from what it returned.
    produces : Mapping[str, Any]
        The whole `result`: what the labels of a segmentation and the numbers of measurements mean, for DICOM objects.
    level : {"instance", "series"}
        What one call gets.
    input : {"stored", "modality"}
        Which pixel values a native plugin gets.
    geometry : bool
        A native plugin gets `_image` for single images, too.
    library : str or None
        File name of the shared library, where the author gave it.
    models : tuple of str
        Ids or names of the models that the plugin reaches.
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
        """Return the whole META.json as the API does, with default values filled in."""
        return {
            **PackageMeta.to_api(self),
            "params": {name: param.to_api() for name, param in self.params.items()},
            "level": self.level,
            "input": self.input,
        }


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(plugin_schema())


def parse_manifest(data: bytes) -> Manifest:
    """Read the bytes of a META.json.

    Raises
    ------
    Invalid
        It is not JSON in UTF-8, or does not meet the schema; `field` is the dotted path of what is wrong.
    """
    return manifest_of(parse_meta(data))


def manifest_of(meta: Any) -> Manifest:
    """Check a META.json that was parsed already. Raises `Invalid` as `parse_manifest`."""
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
    """Refuse two segments of one number, which no schema can tell."""
    seen: set[int] = set()
    for index, segment in enumerate(segments):
        if segment["number"] in seen:
            where = f"result.segments.{index}.number"
            raise Invalid(f"META.json: {where}: two segments have the number {segment['number']}", field=where)
        seen.add(segment["number"])
