"""A model's ZIP: its META.json and its ONNX file."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from neurdicom.errors import Invalid
from neurdicom.workers.model.manifest import ModelManifest, parse_model_manifest
from neurdicom.workers.packages.package_zip import META, PackageZip

ONNX = ".onnx"


class ModelZip(PackageZip):
    """Open archive of a model, which passed every check.

    Attributes
    ----------
    manifest : ModelManifest
        Its META.json.
    target : str
        Path of the ONNX file, relative to the model's folder.

    Raises
    ------
    Invalid
        The archive is broken, unsafe or incomplete; `field` is `archive`, or a field of META.json.
    """

    def interpret(self) -> None:
        """Read META.json, and find the ONNX file."""
        self.manifest: ModelManifest = parse_model_manifest(self.read_meta())
        self.target = find_network(self.files, self.manifest.file)


def network_files(folders: Mapping[str, str]) -> dict[str, str]:
    """Find the ONNX files of several models; returns their paths by the names given for the folders."""
    return {name: str(network_file(Path(folder))) for name, folder in folders.items()}


def network_file(folder: Path) -> Path:
    """Find the ONNX file of a model that was extracted into a folder. Raises `Invalid` where there is none."""
    manifest = parse_model_manifest((folder / META).read_bytes())
    files = tuple(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return folder / find_network(files, manifest.file)


def find_network(files: tuple[str, ...], wanted: str | None) -> str:
    """Choose the ONNX file among an archive's files.

    Parameters
    ----------
    files : tuple of str
        Paths of all files.
    wanted : str or None
        `file` in META.json; without it there must be exactly one ONNX file.

    Raises
    ------
    Invalid
        There is no such file, none, or more than one.
    """
    networks = [name for name in files if name.lower().endswith(ONNX)]
    if wanted is not None:
        name = str(PurePosixPath(wanted))
        if name not in files:
            found = ", ".join(networks)[:200] or "none"
            raise Invalid(f"META.json: file is {wanted!r}; the archive's ONNX files are {found}", field="file")
        return name
    if len(networks) == 1:
        return networks[0]
    if networks:
        raise Invalid(
            f"the archive holds {len(networks)} ONNX files ({', '.join(networks)[:200]}); META.json's file has to name "
            "the one to load",
            field="file",
        )
    raise Invalid(f"the archive holds no ONNX file ({ONNX}) beside META.json", field="archive")
