"""A plugin's ZIP: its META.json, its kind, and the file that a worker loads."""

import re
from pathlib import PurePosixPath
from typing import Literal

from neurdicom.errors import Invalid
from neurdicom.plugins.manifest import Manifest, parse_manifest
from neurdicom.workers.packages.package_zip import PackageZip

Kind = Literal["python", "native"]

PYTHON_ENTRY = "plugin.py"
_LIBRARY = re.compile(r"\.so(\.\d+)*$")


class PluginZip(PackageZip):
    """Open ZIP of a plugin, which passed every check.

    Attributes
    ----------
    manifest : Manifest
        Its META.json.
    kind : {"python", "native"}
        Kind that follows from its files.
    target : str
        `plugin.py` or the shared library, relative to the plugin's folder.

    Raises
    ------
    Invalid
        The archive is broken, unsafe or incomplete; `field` is `archive`, or a field of META.json.
    """

    def interpret(self) -> None:
        """Read META.json, and find the file that a worker loads."""
        self.manifest: Manifest = parse_manifest(self.read_meta())
        self.kind, self.target = _find_target(self.files, self.manifest.library)
        _check_params(self.manifest, self.kind)


def _find_target(files: tuple[str, ...], library: str | None) -> tuple[Kind, str]:
    """Find the kind of plugin that the files make, and the file that a worker loads."""
    libraries = [name for name in files if _LIBRARY.search(name)]
    if library is not None:
        wanted = str(PurePosixPath(library))
        named = [name for name in files if name == wanted] or [
            name for name in libraries if PurePosixPath(name).name == wanted
        ]
        if len(named) != 1:
            raise Invalid(
                f"META.json: library is {library!r}; the archive's libraries are {', '.join(libraries) or 'none'}",
                field="library",
            )
        return "native", named[0]
    if PYTHON_ENTRY in files:
        return "python", PYTHON_ENTRY
    beside = [name for name in libraries if "/" not in name]
    if len(candidates := beside or libraries) == 1:
        return "native", candidates[0]
    if candidates:
        raise Invalid(
            f"the archive holds {len(candidates)} shared libraries ({', '.join(candidates)[:200]}); "
            "META.json's library has to name the one to load",
            field="library",
        )
    raise Invalid("the archive holds neither plugin.py nor a shared library (.so) beside META.json", field="archive")


def _check_params(manifest: Manifest, kind: Kind) -> None:
    if kind != "python":
        return
    for name in manifest.params.keys() & {"self", "ds"}:
        what = "process takes the dataset, or the plugin itself, under that name"
        raise Invalid(f"META.json: a parameter can't be called {name!r}: {what}", field=f"params.{name}")
