"""What is kept of a result: a document with its provenance, and where its bodies lie."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self

from neurdicom.catalog.terms import Term
from neurdicom.plugins.tools import ToolType
from neurdicom.processing.results.values import values_of

Kind = Literal["image", "json", "dicom", "bytes"]

#: Bodies by what they were asked as; this is the one that is given whatever is asked for.
ANY = "*"

#: The JSON beside an image.
BESIDE = ".json"

#: Formats that an image is encoded to, from one that keeps its values.
ENCODED = ("png", "jpeg", "lum8", "f32", "f64", "npy")

_RAW = {"f32": "<f4", "f64": "<f8"}
#: Formats that show one frame of a stack.
_PICTURES = ("png", "jpeg", "lum8")

#: Bytes of JSON that a record in a list shows.
_SHOWN = 4096


def representation(format: str, frame: int | None) -> str:
    """The name of the body that a format asks for; `frame` is the one shown, where the result may be a stack."""
    return f"{format}@{frame}" if frame is not None and format in _PICTURES else format


@dataclass(slots=True, kw_only=True)
class Body:
    """One representation of a result.

    Attributes
    ----------
    meta : dict
        What a worker said of it: `media_type`, `kind`, `shape`, `dtype` and the like.
    size : int
        In bytes.
    key : str or None
        Of the file; None for JSON that is in the record.
    """

    meta: dict[str, Any]
    size: int
    key: str | None = None


@dataclass(slots=True, kw_only=True)
class Record:
    """A result.

    Attributes
    ----------
    id : str
        See `identity.result_id`.
    tool_type, tool, name, version, digest
        What computed it.
    uses : dict
        Models that a plugin reaches: id to digest.
    params : dict
        What it was told.
    level, entity : str
        `instance` or `series`, and its UID.
    sources : list
        A pair for each input, in order: SOP Instance UID, and SHA-256 of the file.
    frame : int or None
        Of an instance, from 1.
    is_whole : bool
        It came of all frames.
    patient, study, series : str or None
        Ids of what the first source lies in.
    created : str
        When it was computed, ISO 8601 in UTC.
    seconds : float
        How long that took, waiting for a worker included.
    tag : str
        Another one each time that it is computed; a part of the validators.
    kind : str
        What the tool gave.
    value : Any
        The JSON, of a JSON result or beside an image, where it is short.
    value_size : int
        Bytes of the JSON, wherever it is; 0 if there is none.
    offers_json : bool
        The JSON beside an image is given where it is asked for as `json`.
    left_out : int
        Values in the JSON that it is not found by: too many, or too long.
    values : list
        Pairs of path and value that it is found by; empty where `value` tells them.
    bodies : dict
        By format, or `ANY`.
    evicted : list of str
        Formats whose bodies were deleted to make room.
    stored : list of dict
        `instance`, `series` and `study` of the DICOM instances that were made of it.
    made : list of str
        SOP Instance UIDs of all that were made of it as it is; `stored` may have earlier ones besides, and lacks those
        that were deleted.
    job : str or None
        The job that it was computed in.
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
    bodies: dict[str, Body] = field(default_factory=dict)
    evicted: list[str] = field(default_factory=list)
    stored: list[dict[str, str]] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    job: str | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what `as_document` gave."""
        fields = {name: document[name] for name in cls.__slots__ if name in document}
        fields["bodies"] = {name: Body(**body) for name, body in document["bodies"].items()}
        return cls(**fields)

    def as_document(self) -> dict[str, Any]:
        """It as JSON, whole; what is nested is shared."""
        fields = {name: getattr(self, name) for name in self.__slots__}  # asdict() takes ten times as long
        return fields | {"bodies": {name: asdict(body) for name, body in self.bodies.items()}}

    @property
    def keys(self) -> list[str]:
        """Of the files of its bodies."""
        return [body.key for body in self.bodies.values() if body.key is not None]

    @property
    def instances(self) -> list[str]:
        """SOP Instance UIDs of the sources, each once."""
        return list(dict.fromkeys(instance for instance, _ in self.sources))

    def find(self, format: str, frame: int | None) -> str | None:
        """The name of the body that is what a format asks for."""
        wanted = [ANY, representation(format, frame)]
        if format == "json" and self.offers_json:
            wanted.append(BESIDE)
        return next((name for name in wanted if name in self.bodies), None)

    def lossless(self) -> str | None:
        """The name of a body that has all samples of an image as they are."""
        for name, body in self.bodies.items():
            if name == "npy" or (name in _RAW and body.meta.get("samples") == _RAW[name]):
                return name
        return None

    def etag(self, format: str, frame: int | None) -> str:
        """A strong validator of a representation, without quotes."""
        return f"{self.id[:32]}-{self.tag}-{'any' if self.kind != 'image' else representation(format, frame)}"

    def terms(self) -> list[Term]:
        """What it is found by."""
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
        found += [("stored", uid) for one in self.stored for uid in one.values()]
        found += [("body", key) for key in self.keys]
        values = self.values or values_of(self.value)[0]
        return found + [(path, value) for path, value in values]

    def as_answer(self, *, in_list: bool = False) -> dict[str, Any]:
        """What the API tells of it; in a list without JSON that is long."""
        links: dict[str, Any] = {
            "self": f"/api/results/{self.id}",
            "content": f"/api/results/{self.id}/content",
            "sources": [f"/api/instances/{instance}" for instance in self.instances],
            "stored": [f"/api/instances/{one['instance']}" for one in self.stored],
        }
        if self.series:
            links["series"] = f"/api/series/{self.series}"
        if self.study:
            links["study"] = f"/api/studies/{self.study}"
        if self.job:
            links["job"] = f"/api/jobs/{self.job}"
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
            "json": None if in_list and self.value_size > _SHOWN else self.value,
            "json_size": self.value_size,
            "values_left_out": self.left_out,
            "content": [_described(name, body) for name, body in self.bodies.items() if name != BESIDE],
            "evicted": bool(self.evicted) and not self.bodies,
            "stored": [one["instance"] for one in self.stored],
            "job": self.job,
            "links": links,
        }


def merged(before: Record | None, record: Record, *, replaces: bool) -> tuple[Record, list[str]]:
    """What is kept of a result that was computed, or encoded, again.

    Returns
    -------
    record : Record
        With the bodies of both, unless it `replaces` the earlier one.
    unused : list of str
        Keys of files that nothing refers to any more.
    """
    if before is None:
        return record, []
    if replaces:
        return replace(record, stored=before.stored), before.keys  # they stay, though this may be another result
    again = [name for name in record.bodies if name in before.bodies or name in before.evicted]
    unused = [before.bodies[name].key for name in again if name in before.bodies]
    told = record if record.value_size else before
    after = replace(
        before,
        tag=record.tag if again else before.tag,  # a computation need not give the same bytes twice
        kind="image" if record.kind == "image" else before.kind,
        offers_json=record.offers_json or before.offers_json,
        value=told.value,
        value_size=told.value_size,
        values=told.values,
        left_out=told.left_out,
        bodies=before.bodies | record.bodies,
        evicted=[name for name in dict.fromkeys((*before.evicted, *record.evicted)) if name not in record.bodies],
    )
    return after, [key for key in unused if key is not None]


def _described(name: str, body: Body) -> dict[str, Any]:
    told = {key: body.meta.get(key) for key in ("media_type", "shape", "dtype")}
    format, _, frame = name.partition("@")
    return {
        "format": None if name == ANY else format,
        "frame": int(frame) if frame else None,
        "size": body.size,
        **told,
    }
