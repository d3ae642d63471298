"""Packing of a plugin's or a model's folder into a ZIP."""

import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from neurdicom.plugins.plugin_zip import PluginZip
from neurdicom.workers.packages.package_zip import PackageZip

#: Files of the author's workplace, which do not belong to the plugin.
_LEFT_OUT = re.compile(r"^\.|^__pycache__$|\.(pyc|o|zip)$")

#: Files and folders that belong to the workplace where they lie at the top.
_WORKPLACE_FILES = frozenset({"Makefile", "CMakeLists.txt"})
_WORKPLACE_FOLDERS = frozenset({"build", "tests"})

#: Constant time of all entries, so that the same files make the same package and digest.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def pack_folder(folder: Path, output: Path, read: Callable[[Path], PackageZip] = PluginZip) -> None:
    """Make the package of a folder.

    Parameters
    ----------
    folder : Path
        Has META.json.
    output : Path
        The package.
    read : callable
        Checks the package: `PluginZip`, or `ModelZip`.

    Raises
    ------
    Invalid
        An upload would refuse the package; none is left.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.resolve() != output.resolve())
    scratch = output.with_name(f".{output.name}.new")
    try:
        with zipfile.ZipFile(scratch, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                name = path.relative_to(folder)
                if not _is_left_out(name):
                    info = zipfile.ZipInfo(name.as_posix(), _EPOCH)
                    info.external_attr = 0o644 << 16
                    archive.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED)
        read(scratch).close()
        scratch.replace(output)
    finally:
        scratch.unlink(missing_ok=True)


@contextmanager
def packed(path: Path, read: Callable[[Path], PackageZip] = PluginZip) -> Iterator[Path]:
    """Give the package at a path; of a folder, a temporary one is made. Raises as `pack_folder`."""
    if not path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="neurdicom-") as scratch:
        package = Path(scratch, "package.zip")
        pack_folder(path, package, read)
        yield package


def _is_left_out(name: Path) -> bool:
    if name.parts[0] in (_WORKPLACE_FOLDERS if len(name.parts) > 1 else _WORKPLACE_FILES):
        return True
    return any(_LEFT_OUT.search(part) for part in name.parts)
