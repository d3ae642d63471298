"""One version of a model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import orjson

from neurdicom.plugins.package_version import Installed, capped
from neurdicom.plugins.params import Param
from neurdicom.workers.model.manifest import ModelManifest, parse_model_manifest
from neurdicom.workers.program import Level, Program, Result

_RESULTS: Final[dict[str, Result]] = {"classification": "JSON", "segmentation": "SEGMENTATION", "image": "IMAGE"}


@dataclass(frozen=True, slots=True)
class Model(Installed):
    """One version of a model; its id is its `model_guid`, or else its name.

    Attributes
    ----------
    network : Mapping[str, Any]
        What the upload found out of it; see `inspection.inspect`.
    """

    manifest: ModelManifest
    network: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As the API gives it: `kind` is that of the output."""
        own = {"kind": self.manifest.output.kind, "network": dict(self.network)}
        return Installed.as_dict(self) | own

    def as_document(self) -> dict[str, Any]:
        """As the catalog keeps it."""
        return Installed.as_document(self) | {"network": orjson.dumps(self.network).decode()}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what `as_document` gave. Raises `Invalid` when this version of the server refuses its META.json."""
        own = {key: document[key] for key in ("kind", "target", "digest", "installed", "problem")}
        manifest = parse_model_manifest(document["meta"].encode())
        return cls(manifest=manifest, network=orjson.loads(document["network"]), **own)

    @property
    def result(self) -> Result:
        """The kind of result that it gives."""
        return _RESULTS[self.manifest.output.kind]

    @property
    def produces(self) -> dict[str, Any]:
        """As `result` in a plugin's META.json: of a segmentation, the segments that its labels stand for."""
        if self.result != "SEGMENTATION":
            return {"type": self.result}
        labels = self.manifest.output.labels
        if not labels:
            labels = tuple({"label": f"Class {number}"} for number in range(self.network.get("classes", 1)))
        first = 0 if self.network.get("background") else 1
        segments = [{**label, "number": number} for number, label in enumerate(labels, first) if number > 0]
        return {"type": self.result, "segments": segments}

    @property
    def level(self) -> Level:
        """What one call gets."""
        return "series" if self.manifest.is_volume else "instance"

    @property
    def params(self) -> dict[str, Param]:
        """What a call may say."""
        if self.manifest.output.kind == "image":
            return {}
        hint = "The least probability that counts, instead of the model's own."
        described = {"type": "double", "is_required": False, "range": [0, 1], "hint": hint}
        return {"threshold": Param.from_meta("threshold", described)}

    def program(self, folder: Path, *, timeout: float, memory: int) -> Program:
        """What a worker loads; see `Installed.program`."""
        manifest = self.manifest
        return Program(
            kind="model",
            target=str(folder),
            name=manifest.name,
            digest=self.digest,
            timeout=capped(manifest.timeout, timeout),
            memory=max(1, int(capped(manifest.memory, memory))),
            input=manifest.input.values,
            result=self.result,
            level=self.level,
        )

    def inspection(self, program: Program) -> Program:
        """What a worker loads that is to find out what this is."""
        return Program(
            kind="builtin",
            target="neurdicom.workers.model.inspection",
            name=program.name,
            digest=self.digest,
            timeout=program.timeout,
            memory=program.memory,
        )
