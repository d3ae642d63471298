"""Installed versions of plugins and models, and their forms for the API, the catalog and a worker."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, Self

import orjson

from neurdicom.plugins.manifest import Manifest, parse_manifest
from neurdicom.plugins.params import Param
from neurdicom.plugins.plugin_zip import PluginZip
from neurdicom.plugins.tools import Tool
from neurdicom.workers.model.manifest import ModelManifest, parse_model_manifest
from neurdicom.workers.model.model_zip import ModelZip
from neurdicom.workers.packages.meta import PackageMeta
from neurdicom.workers.program import Kind, Level, Program, Result, ToolLimits

_RESULTS: Final[dict[str, Result]] = {"classification": "JSON", "segmentation": "SEGMENTATION", "image": "IMAGE"}


@dataclass(frozen=True)  # without slots: its tool is described once
class PackageVersion(ABC):
    """Installed version of a plugin or a model.

    Attributes
    ----------
    manifest : PackageMeta
        Its META.json.
    kind : str
        Kind that follows from its files.
    target : str
        The file that a worker loads, relative to the package's folder.
    digest : str
        SHA-256 of the ZIP, in hexadecimal.
    installed : str
        Time of installation, ISO 8601 in UTC.
    problem : str or None
        Why it is quarantined; None while it is ready.
    """

    manifest: PackageMeta
    kind: Kind
    target: str
    digest: str
    installed: str
    problem: str | None = None

    @property
    def id(self) -> str:
        """Id in the API."""
        return self.manifest.guid

    @property
    def state(self) -> Literal["ready", "quarantined"]:
        """State in the API: only a ready version runs."""
        return "ready" if self.problem is None else "quarantined"

    def to_api(self) -> dict[str, Any]:
        """Return the version as the API shows it."""
        own = {key: getattr(self, key) for key in ("id", "kind", "digest", "state", "problem", "installed")}
        return self.manifest.to_api() | own

    def to_document(self) -> dict[str, Any]:
        """Return the version for the catalog, with META.json as text: its keys are the author's, and may be any."""
        own = {key: getattr(self, key) for key in ("id", "kind", "target", "digest", "installed", "problem")}
        return {**own, "meta": self.manifest.to_document()}

    @classmethod
    @abstractmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read a document of `to_document`. Raises `Invalid` when this version of the server refuses its META.json."""

    @cached_property
    @abstractmethod
    def bare_tool(self) -> Tool:
        """The version described as a tool that uses no models."""

    def tool(self, uses: Mapping[str, str]) -> Tool:
        """Describe the version as a tool; `uses` are the models that it uses, id to digest."""
        return replace(self.bare_tool, uses=uses) if uses else self.bare_tool

    @abstractmethod
    def program(self, folder: Path, limits: ToolLimits) -> Program:
        """Make the program that a worker loads; `folder` is where the package is extracted."""

    def _within(self, limits: ToolLimits) -> dict[str, Any]:
        """Apply the administrator's limits to those of META.json."""
        return {
            "timeout": min(limits.timeout, self.manifest.timeout or limits.timeout),
            "memory": max(1, int(min(limits.memory, self.manifest.memory or limits.memory))),
            "threads": limits.threads,
        }


def _from_document(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: document[key] for key in ("kind", "target", "digest", "installed", "problem")}


@dataclass(frozen=True)
class PluginVersion(PackageVersion):
    """Installed version of a plugin; `kind` is `python` or `native`, the id is its `plugin_guid`.

    Attributes
    ----------
    takes_volumes : bool
        Whether it can be given a whole series: it is Python, or exports `ProcessVolume`.
    """

    manifest: Manifest
    takes_volumes: bool = True

    @classmethod
    def from_zip(cls, package: PluginZip, digest: str, installed: str) -> Self:
        """Make the version that a ZIP holds.

        Parameters
        ----------
        package : PluginZip
            The checked ZIP.
        digest : str
            SHA-256 of the ZIP, in hexadecimal.
        installed : str
            Time of installation, ISO 8601 in UTC.
        """
        return cls(package.manifest, package.kind, package.target, digest, installed)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        manifest = parse_manifest(document["meta"].encode())
        takes_volumes = document.get("takes_volumes", True)
        return cls(manifest=manifest, takes_volumes=takes_volumes, **_from_document(document))

    def to_document(self) -> dict[str, Any]:
        return PackageVersion.to_document(self) | {"takes_volumes": self.takes_volumes}

    @property
    def level(self) -> Level:
        """Level of one call. A native plugin of level series without `ProcessVolume` gets one slice after another."""
        return self.manifest.level if self.takes_volumes else "instance"

    @cached_property
    def bare_tool(self) -> Tool:
        manifest = self.manifest
        return Tool(
            type="plugin",
            id=self.id,
            name=manifest.name,
            version=manifest.version,
            author=manifest.author,
            digest=self.digest,
            params=manifest.params,
            level=self.level,
            input=manifest.input,
            result=manifest.result,
            produces=manifest.produces,
            meta=manifest.meta,
            per_frame=self.kind != "python",
        )

    def program(self, folder: Path, limits: ToolLimits) -> Program:
        manifest = self.manifest
        return Program(
            kind=self.kind,
            target=str(folder if self.kind == "python" else folder / self.target),
            name=manifest.name,
            digest=self.digest,
            input=manifest.input,
            result=manifest.result,
            level=manifest.level,
            geometry=manifest.geometry,
            **self._within(limits),
        )


@dataclass(frozen=True)
class ModelVersion(PackageVersion):
    """Installed version of a model; the id is its `model_guid`, or else its name.

    Attributes
    ----------
    network : Mapping[str, Any]
        Description of the network that the upload found; see `inspection.inspect`.
    """

    manifest: ModelManifest
    network: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_zip(cls, package: ModelZip, digest: str, installed: str) -> Self:
        """Make the version that a ZIP holds, as `PluginVersion.from_zip`."""
        return cls(package.manifest, "model", package.target, digest, installed)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        manifest = parse_model_manifest(document["meta"].encode())
        return cls(manifest=manifest, network=orjson.loads(document["network"]), **_from_document(document))

    def to_document(self) -> dict[str, Any]:
        return PackageVersion.to_document(self) | {"network": orjson.dumps(self.network).decode()}

    def to_api(self) -> dict[str, Any]:
        """Return the version as the API shows it; `kind` is that of the output."""
        own = {"kind": self.manifest.output.kind, "network": dict(self.network)}
        return PackageVersion.to_api(self) | own

    @property
    def result(self) -> Result:
        """Kind of result."""
        return _RESULTS[self.manifest.output.kind]

    @property
    def produces(self) -> dict[str, Any]:
        """Result as in a plugin's META.json; for a segmentation with the segments that its labels stand for."""
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
        """Level of one call."""
        return "series" if self.manifest.is_volume else "instance"

    @property
    def params(self) -> dict[str, Param]:
        """Parameters of a call."""
        if self.manifest.output.kind == "image":
            return {}
        hint = "Least probability for a class to be reported, in place of the model's own threshold."
        described = {"type": "double", "is_required": False, "range": [0, 1], "hint": hint}
        return {"threshold": Param.from_meta("threshold", described)}

    @cached_property
    def bare_tool(self) -> Tool:
        manifest = self.manifest
        return Tool(
            type="model",
            id=self.id,
            name=manifest.name,
            version=manifest.version,
            author=manifest.author,
            digest=self.digest,
            params=self.params,
            level=self.level,
            input=manifest.input.values,
            result=self.result,
            produces=self.produces,
            meta=manifest.meta,
        )

    def program(self, folder: Path, limits: ToolLimits) -> Program:
        manifest = self.manifest
        return Program(
            kind="model",
            target=str(folder),
            name=manifest.name,
            digest=self.digest,
            input=manifest.input.values,
            result=self.result,
            level=self.level,
            **self._within(limits),
        )

    def inspection(self, program: Program) -> Program:
        """Make the program that inspects this model at upload."""
        return Program(
            kind="builtin",
            target="neurdicom.workers.model.inspection",
            name=program.name,
            digest=self.digest,
            timeout=program.timeout,
            memory=program.memory,
        )
