"""One version of a plugin."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from neurdicom.plugins.manifest import Manifest, parse_manifest
from neurdicom.plugins.package_version import Installed, capped
from neurdicom.workers.program import Level, Program


@dataclass(frozen=True, slots=True)
class Plugin(Installed):
    """One version of a plugin; `kind` is `python` or `native`, the id is its `plugin_guid`.

    Attributes
    ----------
    takes_volumes : bool
        It can be given a whole series: it is Python, or exports `ProcessVolume`.
    """

    manifest: Manifest
    takes_volumes: bool = True

    @property
    def level(self) -> Level:
        """What one call gets. Without `ProcessVolume`, a native plugin of level series gets one slice after another."""
        return self.manifest.level if self.takes_volumes else "instance"

    def as_document(self) -> dict[str, Any]:
        return super(Plugin, self).as_document() | {"takes_volumes": self.takes_volumes}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what `as_document` gave. Raises `Invalid` when this version of the server refuses its META.json."""
        own = {key: document[key] for key in ("kind", "target", "digest", "installed", "problem")}
        manifest = parse_manifest(document["meta"].encode())
        return cls(manifest=manifest, takes_volumes=document.get("takes_volumes", True), **own)

    def program(self, folder: Path, *, timeout: float, memory: int) -> Program:
        """What a worker loads; see `Installed.program`."""
        manifest = self.manifest
        return Program(
            kind=self.kind,
            target=str(folder if self.kind == "python" else folder / self.target),
            name=manifest.name,
            digest=self.digest,
            timeout=capped(manifest.timeout, timeout),
            memory=max(1, int(capped(manifest.memory, memory))),
            input=manifest.input,
            result=manifest.result,
            level=manifest.level,
            geometry=manifest.geometry,
        )
