"""Kept results: their provenance, and their representations, pending or stored.

Records name instances, series and studies by their keys (`dicom.identity`), and patients by their ids.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import orjson

from neurdicom.catalog.terms import Term
from neurdicom.pixels.encode.formats import OF_RESULTS, SHOWING_ONE, WHOLE_SAMPLES
from neurdicom.plugins.tools import ToolType
from neurdicom.processing.value_query import values_of
from neurdicom.workers.program import Reply

Kind = Literal["image", "json", "dicom", "bytes"]

#: Name of a representation that is returned for every format.
ANY = "*"

#: Name of the JSON beside an image.
BESIDE = ".json"

#: Most bytes of JSON that a list shows of a result.
_LONGEST_LISTED = 4096


Payload = bytes | memoryview


def representation_name(format: str, frame: int | None) -> str:
    """Name the representation for a format; `frame` is the frame shown, where the result may be a stack."""
    return f"{format}@{frame}" if frame is not None and format in SHOWING_ONE else format


@dataclass(slots=True, kw_only=True)
class Representation:
    """Result in one format.

    Attributes
    ----------
    meta : dict
        The worker's description: `media_type`, `kind`, `shape`, `dtype` and the like.
    size : int
        Size in bytes.
    key : str or None
        Key of the file; None for JSON in the record, and while it is pending.
    data : bytes, memoryview or None
        The bytes, while they wait to be written.
    """

    meta: dict[str, Any]
    size: int
    key: str | None = None
    data: Payload | None = None

    def to_document(self) -> dict[str, Any]:
        """Return all but the bytes, for the record."""
        return {"meta": self.meta, "size": self.size, "key": self.key}

    def to_api(self, name: str) -> dict[str, Any]:
        """Return the representation as the API lists it; `name` is its name in `KeptResult.representations`."""
        format, _, frame = name.partition("@")
        return {
            "format": None if name == ANY else format,
            "frame": int(frame) if frame else None,
            "size": self.size,
            **{key: self.meta.get(key) for key in ("media_type", "shape", "dtype")},
        }


def representations_of(reply: Reply, format: str, frame: int | None) -> dict[str, Representation]:
    """Make the representations of a worker's reply, with their bytes.

    Parameters
    ----------
    reply : Reply
        The reply.
    format : str
        Format that was asked for.
    frame : int or None
        Frame shown, where the result may be a stack.

    Returns
    -------
    dict
        By name: one, and the JSON beside an image.
    """
    meta = dict(reply.meta)
    beside = meta.pop("json", None)
    kind = meta.get("kind", "bytes")
    # A native plugin may return JSON for the format `json`, and an image for any other.
    depends = kind == "image" or (kind == "json" and format == "json")
    name = representation_name(format, frame) if depends else ANY
    found = {name: Representation(meta=meta, size=len(reply.body), data=reply.body)}
    if beside is not None:
        data = orjson.dumps(beside)
        meta = {"kind": "json", "media_type": "application/json"}
        found[BESIDE] = Representation(meta=meta, size=len(data), data=data)
    return found


@dataclass(slots=True, kw_only=True)
class KeptResult:
    """Stored or pending result: a document of the catalog, and files.

    Attributes
    ----------
    id : str
        See `run.ResolvedRun.id`.
    tool_type, tool, name, version, digest : str
        The plugin or model that computed it.
    uses : dict
        Models that a plugin uses: id to digest.
    params : dict
        Converted parameters, with null in place of large ones: a page of a thousand results would be gigabytes.
    level, entity : str
        `instance` or `series`, and its key.
    sources : list
        A pair for each input, in order: key of the instance, and SHA-256 of the file.
    frame : int or None
        Frame of the instance, from 1.
    is_whole : bool
        Whether it was computed from all frames.
    patient, study, series : str or None
        Id of the patient, and keys of the study and series that hold the first source.
    created : str
        Time of the computation, ISO 8601 in UTC.
    seconds : float
        Duration of the computation, waiting for a worker included.
    tag : str
        Random text of each computation; a part of the validators (ETags).
    kind : str
        Kind of the value that the tool returned.
    value : Any
        The JSON, of a JSON result or beside an image, where it is short.
    value_size : int
        Bytes of the JSON, wherever it is; 0 if there is none.
    offers_json : bool
        Whether the JSON beside an image is returned for the format `json`.
    left_out : int
        Number of values in the JSON that are not indexed: too many, or too long.
    values : list
        Indexed pairs of path and value; empty where they follow from `value`.
    representations : dict
        By format, or `ANY`.
    evicted : list of str
        Names of representations that were deleted to make room.
    stored : list of dict
        Keys (`instance`, `series`, `study`) of the DICOM instances that were made of it and exist.
    made : list of str
        Keys of all DICOM instances that were made of the current computation; `stored` may also have
        instances of earlier computations, and lacks deleted ones.
    job : str or None
        The job that computed it.
    """

    id: str
    tool_type: ToolType
    tool: str
    name: str
    version: str
    digest: str
    uses: dict[str, str]
    params: dict[str, Any]
    level: str
    entity: str
    sources: list[list[str]]
    frame: int | None
    is_whole: bool
    created: str
    seconds: float
    tag: str
    kind: Kind
    patient: str | None = None
    study: str | None = None
    series: str | None = None
    value: Any = None
    value_size: int = 0
    offers_json: bool = False
    left_out: int = 0
    values: list[list[Any]] = field(default_factory=list)
    representations: dict[str, Representation] = field(default_factory=dict)
    evicted: list[str] = field(default_factory=list)
    stored: list[dict[str, str]] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    job: str | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read a document that `to_document` wrote."""
        fields = {name: document[name] for name in cls.__slots__ if name in document}
        fields["representations"] = {name: Representation(**body) for name, body in document["bodies"].items()}
        return cls(**fields)

    def to_document(self) -> dict[str, Any]:
        """Return the record for the catalog; nested values are shared, not copied."""
        fields = {name: getattr(self, name) for name in self.__slots__}  # asdict() takes ten times as long
        fields["bodies"] = {name: one.to_document() for name, one in fields.pop("representations").items()}
        return fields

    @property
    def keys(self) -> list[str]:
        """Keys of the files of its representations."""
        return [one.key for one in self.representations.values() if one.key is not None]

    @property
    def instances(self) -> list[str]:
        """Keys of the source instances, each once."""
        return list(dict.fromkeys(instance for instance, _ in self.sources))

    def find(self, format: str, frame: int | None) -> str | None:
        """Find the name of the representation for a format."""
        wanted = [ANY, representation_name(format, frame)]
        if format == "json" and self.offers_json:
            wanted.append(BESIDE)
        return next((name for name in wanted if name in self.representations), None)

    def lossless(self) -> str | None:
        """Find the name of a representation that has all samples of an image unchanged."""
        for name, one in self.representations.items():
            if name == "npy" or (name in WHOLE_SAMPLES and one.meta.get("samples") == WHOLE_SAMPLES[name]):
                return name
        return None

    def gives(self, format: str, frame: int | None) -> bool:
        """Tell whether the result can be returned in a format: as stored, or encoded from its samples."""
        return self.find(format, frame) is not None or self.encodes(format)

    def wanted(self, format: str | None, frame: int | None) -> tuple[str, int | None]:
        """Complete a request's format and frame of a stack; without a format, with the first one that was computed."""
        names = (name for name in (*self.representations, *self.evicted) if name != BESIDE)
        first, _, shown = next(names, "npy").partition("@")
        if format is None:
            format, frame = ("npy" if first == ANY else first), frame or (int(shown) if shown else None)
        return format, (frame or self.frame or 1) if self.is_whole else None

    def encodes(self, format: str) -> bool:
        """Tell whether the result can be encoded to a format from all samples."""
        return self.kind == "image" and format in OF_RESULTS and self.lossless() is not None

    def without(self, keys: Set[str]) -> "KeptResult":
        """Copy the record without the representations whose files are deleted to make room."""
        left = {name: one for name, one in self.representations.items() if one.key not in keys}
        gone = [name for name in self.representations if name not in left and name != BESIDE]
        return replace(self, representations=left, evicted=list(dict.fromkeys([*self.evicted, *gone])))

    def etag(self, format: str, frame: int | None) -> str:
        """Make the strong validator of a representation, without quotes."""
        return f"{self.id[:32]}-{self.tag}-{'any' if self.kind != 'image' else representation_name(format, frame)}"

    def terms(self) -> list[Term]:
        """List the index terms that searches find the result by."""
        fields: dict[str, str | None] = {
            self.tool_type: self.tool,
            "version": self.version,
            "digest": self.digest,
            "patient": self.patient,
            "study": self.study,
            "series": self.series,
            "kind": self.kind,
            "created": self.created,
            "job": self.job,
            "id": self.id,
        }
        found: list[Term] = [(name, value) for name, value in fields.items() if value]
        found += [("uses", model) for model in self.uses]
        found += [("instance", instance) for instance in self.instances]
        found += [("stored", key) for one in self.stored for key in one.values()]
        found += [("body", key) for key in self.keys]
        values = self.values or values_of(self.value)[0]
        return found + [(path, value) for path, value in values]

    def to_api(self, *, in_list: bool = False) -> dict[str, Any]:
        """Describe the result for the API, with keys and without links; in a list without JSON that is long."""
        return {
            "id": self.id,
            "plugin": self.tool if self.tool_type == "plugin" else None,
            "model": self.tool if self.tool_type == "model" else None,
            "name": self.name,
            "version": self.version,
            "digest": self.digest,
            "models": self.uses,
            "params": self.params,
            "level": self.level,
            "patient": self.patient,
            "study": self.study,
            "series": self.series,
            "instances": self.instances,
            "frame": None if self.is_whole else self.frame,
            "created": self.created,
            "seconds": self.seconds,
            "kind": self.kind,
            "json": None if in_list and self.value_size > _LONGEST_LISTED else self.value,
            "json_size": self.value_size,
            "values_left_out": self.left_out,
            "content": [one.to_api(name) for name, one in self.representations.items() if name != BESIDE],
            "evicted": bool(self.evicted) and not self.representations,
            "stored": [one["instance"] for one in self.stored],
            "job": self.job,
        }


def merged(before: KeptResult | None, result: KeptResult, *, replaces: bool) -> tuple[KeptResult, list[str]]:
    """Merge a result that was computed or encoded again with the stored one.

    Parameters
    ----------
    before : KeptResult or None
        The kept result.
    result : KeptResult
        The new one.
    replaces : bool
        The new one takes the place of the kept one.

    Returns
    -------
    result : KeptResult
        With the representations of both, unless it `replaces` the earlier one.
    unused : list of str
        Keys of files that are no longer referred to.
    """
    if before is None:
        return result, []
    if replaces:
        return replace(result, stored=before.stored), before.keys  # instances stay, though the result may differ
    again = [name for name in result.representations if name in before.representations or name in before.evicted]
    unused = [before.representations[name].key for name in again if name in before.representations]
    json_of = result if result.value_size else before
    after = replace(
        before,
        tag=result.tag if again else before.tag,  # a second computation may give other bytes
        kind="image" if result.kind == "image" else before.kind,
        offers_json=result.offers_json or before.offers_json,
        value=json_of.value,
        value_size=json_of.value_size,
        values=json_of.values,
        left_out=json_of.left_out,
        representations=before.representations | result.representations,
        evicted=[
            name for name in dict.fromkeys((*before.evicted, *result.evicted)) if name not in result.representations
        ],
    )
    return after, [key for key in unused if key is not None]
