"""The installed plugins."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurdicom.runtime.archive import Archive
from neurdicom.runtime.plugin import Plugin
from neurdicom.services.packages import PackageService
from neurdicom.services.tools import Tool


class PluginService(PackageService[Plugin, Archive]):
    """The installed plugins."""

    noun = "plugin"

    @staticmethod
    def _read_archive(path: Path) -> Archive:
        return Archive(path)

    @staticmethod
    def _from_document(document: Mapping[str, Any]) -> Plugin:
        return Plugin.from_document(document)

    @staticmethod
    def _of_archive(archive: Archive, digest: str, installed: str) -> Plugin:
        return Plugin(archive.manifest, archive.kind, archive.target, digest, installed)

    @staticmethod
    def _as_tool(version: Plugin) -> Tool:
        manifest = version.manifest
        return Tool(
            type="plugin",
            id=version.id,
            name=manifest.name,
            version=manifest.version,
            author=manifest.author,
            digest=version.digest,
            params=manifest.params,
            level=manifest.level,
            input=manifest.input,
            result=manifest.result,
            produces=manifest.produces,
            meta=manifest.meta,
            per_frame=version.kind != "python",
        )
