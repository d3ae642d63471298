"""A plugin on its author's disk, as the server would have it after an upload."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from neurdicom.plugins.devtools.packing import packed
from neurdicom.plugins.manifest import Manifest
from neurdicom.plugins.params import Param, ParamType, ParamValue, convert_arguments
from neurdicom.plugins.plugin_zip import PluginZip
from neurdicom.plugins.versions import PluginVersion
from neurdicom.workers.program import Program, ToolLimits


@dataclass(frozen=True, slots=True)
class ExtractedPlugin:
    """Plugin that was packed, checked and extracted.

    Attributes
    ----------
    manifest : Manifest
        Its META.json.
    kind : str
        `python` or `native`.
    folder : Path
        The extracted files.
    files : tuple of str
        Their paths, relative to `folder`.
    program : Program
        The program that a worker loads.
    """

    manifest: Manifest
    kind: str
    folder: Path
    files: tuple[str, ...]
    program: Program

    def with_library(self, library: Path) -> "ExtractedPlugin":
        """Copy the plugin with another build of its shared library."""
        return replace(self, program=replace(self.program, target=str(library.resolve()), digest="another build"))


def open_package(path: Path, scratch: Path, limits: ToolLimits) -> ExtractedPlugin:
    """Pack a folder, or take a package, and extract it as an upload does.

    Parameters
    ----------
    path : Path
        The plugin's folder, or its ZIP.
    scratch : Path
        The plugin is extracted below it.
    limits : ToolLimits
        Limits of its calls and of its worker.

    Raises
    ------
    Invalid
        An upload would refuse the package.
    """
    folder = scratch / "plugin"
    with packed(path) as zip_path, PluginZip(zip_path) as package:
        package.extract(folder)
    version = PluginVersion.from_zip(package, "checked", datetime.now(UTC).isoformat())
    program = version.program(folder, limits)
    return ExtractedPlugin(package.manifest, package.kind, folder, package.files, program)


def is_sanitized(package: ExtractedPlugin) -> bool:
    """Tell whether it is a native plugin that was built with AddressSanitizer."""
    return package.kind == "native" and exports(package, b"__asan_init")


def exports(package: ExtractedPlugin, symbol: bytes) -> bool:
    """Tell whether a native plugin's library exports or needs a symbol, without loading it."""
    return b"\0" + symbol + b"\0" in Path(package.program.target).read_bytes()


def arguments_for(manifest: Manifest, texts: Mapping[str, Sequence[str]]) -> tuple[dict[str, Any], list[str]]:
    """Make the parameters of the runs: given ones, defaults, and allowed values for the required ones.

    Returns
    -------
    arguments : dict
        Converted parameters.
    derived : list of str
        Names of the parameters whose values were made up.

    Raises
    ------
    Invalid
        A given parameter is unknown or wrong.
    """
    derived = {
        name: _fitting(param)
        for name, param in manifest.params.items()
        if param.required and not param.has_default and name not in texts
    }
    return convert_arguments(manifest.params, texts, derived), sorted(derived)


def _fitting(param: Param) -> ParamValue:
    """Make up a value that the parameter allows."""
    if param.values:
        value: Any = param.values[0]
    elif param.type is ParamType.TEXT:
        value = "text"
    elif param.type is ParamType.BOOL:
        value = True
    else:
        low = param.low if param.low is not None else min(1.0, param.high if param.high is not None else 1.0)
        high = param.high if param.high is not None else max(low, 1.0)
        value = (low + high) / 2 if param.type is ParamType.DOUBLE else int(-(-low // 1))
    return [value, value] if param.is_array else value
