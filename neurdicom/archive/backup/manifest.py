"""The manifest of a backup, and the list of its files with their SHA-256 in the form that `sha256sum --check` reads."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from neurdicom.archive.backup.copying import DamagedFile, read_file
from neurdicom.blobs.base import PLACE

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
CATALOG = "catalog.sqlite"
SETTINGS = "settings.toml"
SERVER_NAME = "server-name"

#: Folders of packages, which hold archives named by their SHA-256, and the kind of the documents that name these.
PACKAGES = {"plugins": "plugin", "models": "model"}

#: Form of a backup; a newer one is refused. The first had no files that are set aside.
FORMAT = 2

#: Key of a file of an instance, with its SHA-256, as the blob store of a data folder makes it.
KEY = re.compile(r"[0-9]{8}/[0-9]{6}-([0-9a-f]{64})-[0-9a-f]{16}")

#: Bytes of a list of files that are read at a time.
_PIECE = 64 * 1024

_BLOBS = "../blobs/"
#: Lines of the list: nothing else is written, and what else is read is refused.
_LINE = re.compile(
    rf"(?P<sha256>[0-9a-f]{{64}})  (?P<path>{re.escape(CATALOG)}|{re.escape(SETTINGS)}|{SERVER_NAME}"
    rf"|(?:{'|'.join(PACKAGES)})/(?P<package>[0-9a-f]{{64}})\.zip"
    rf"|{re.escape(_BLOBS)}(?P<key>[0-9]{{8}}/[0-9]{{6}}-(?P<blob>[0-9a-f]{{64}})-[0-9a-f]{{16}}))\n"
)
#: Begin of the line that names the place of the next file, if that is set aside; `sha256sum` skips it as a comment.
_PLACE = re.compile(rf"# (?P<place>{PLACE.pattern})\n", re.ASCII)


@dataclass(frozen=True, slots=True)
class BackedUpFile:
    """A file of a backup.

    Attributes
    ----------
    path : str
        Path in the backup's folder.
    sha256 : str
        SHA-256 in hexadecimal.
    key : str or None
        Key of a file of an instance.
    place : str
        Place of the blob store in which it lies; empty if it is in use.
    """

    path: str
    sha256: str
    key: str | None = None
    place: str = ""

    @classmethod
    def of_blob(cls, key: str, sha256: str, place: str) -> "BackedUpFile":
        """Make the entry of an instance's file, which lies beside the backups.

        Parameters
        ----------
        key : str
            Key of the file.
        sha256 : str
            SHA-256 in hexadecimal.
        place : str
            Place in which it lies; empty if it is in use.
        """
        return cls(f"{_BLOBS}{key}", sha256, key, place)

    def __str__(self) -> str:
        line = f"{self.sha256}  {self.path}\n"
        return f"# {self.place}\n{line}" if self.place else line


@dataclass(frozen=True, slots=True)
class BackupManifest:
    """Manifest of a backup, written last: a folder without one is no backup.

    Attributes
    ----------
    format : int
        Form of the backup.
    time : str
        Time of the catalog's copy, which is the name of the backup's folder.
    version : str
        Version of NeurDICOM that made it.
    has_catalog : bool
        False if the catalog was in MongoDB.
    files, bytes : int
        Number of files of instances, and their size.
    set_aside : int
        Number of files in the trash and of earlier versions; 0 in the first form.
    sums : str
        SHA-256 of the list of files.
    damaged : list of str
        What is not in the backup, since it was missing or damaged.
    """

    format: int
    time: str
    version: str
    has_catalog: bool
    files: int
    bytes: int
    set_aside: int
    sums: str
    damaged: list[str]

    def to_document(self) -> str:
        """Write the manifest as JSON."""
        return json.dumps(asdict(self), indent=2) + "\n"


#: Members of a manifest, with their types; `True` is no number.
_TYPES: Mapping[str, type] = {
    "format": int,
    "time": str,
    "version": str,
    "has_catalog": bool,
    "files": int,
    "bytes": int,
    "set_aside": int,
    "sums": str,
    "damaged": list,
}


def read_manifest(folder: Path) -> BackupManifest:
    """Read the manifest of a backup, and compare the list of its files with it.

    Raises
    ------
    DamagedFile
        The manifest or the list is missing or damaged, or of a newer form.
    """
    path = folder / MANIFEST
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedFile(f"{path} can't be read: {error}") from error
    manifest = _parse(path, document)
    if manifest.time != folder.name:
        raise DamagedFile(f"{path} is the manifest of {manifest.time!r}; that of {folder.name} is expected")
    read_file(folder / SUMS, sha256=manifest.sums)
    return manifest


def _parse(path: Path, document: Any) -> BackupManifest:
    if not isinstance(document, dict):
        raise DamagedFile(f"{path} has no JSON object")
    found = document.get("format")
    if isinstance(found, int) and found > FORMAT:
        raise DamagedFile(f"{path} has format {found}, this NeurDICOM knows up to {FORMAT}: use the newer NeurDICOM")
    if found == 1:
        document = {"set_aside": 0, **document}
    for name, expected in _TYPES.items():
        if type(document.get(name)) is not expected:
            raise DamagedFile(f"{path} has {name} = {document.get(name)!r:.100}; {expected.__name__} is expected")
    return BackupManifest(**{name: document[name] for name in _TYPES})


def read_sums(folder: Path) -> Iterator[BackedUpFile]:
    """Yield the files of a backup: those of its own folder first, then those of instances by key and place.

    Raises
    ------
    DamagedFile
        A line names a path or a SHA-256 that no backup has, or a second file of the same path.
    """
    path, last, place = folder / SUMS, ("", ""), ""
    seen: set[str] = set()
    for number, line in enumerate(_lines(path), 1):
        if not place and (placed := _PLACE.fullmatch(line)):
            place = placed["place"]
            continue
        found = _LINE.fullmatch(line)
        if not found or (found["package"] or found["blob"] or found["sha256"]) != found["sha256"]:
            raise DamagedFile(f"{path}, line {number}, is no line of a backup: {line.strip()!r:.200}")
        file = BackedUpFile(found["path"], found["sha256"], found["key"], place)
        if file.key is None:
            out_of_order = file.path in seen or last > ("", "") or bool(place)
        else:
            out_of_order = (file.key, place) <= last
        if out_of_order:
            raise DamagedFile(f"{path}, line {number}, is out of order, or repeats a file: {file.path}")
        if file.key is None:
            seen.add(file.path)
        else:
            last = (file.key, place)
        place = ""
        yield file
    if place:
        raise DamagedFile(f"{path} ends before the file in {place}")


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file, which is closed between two pieces: the lists of all backups are read at once."""
    position = 0
    while True:
        with path.open("rb") as file:
            file.seek(position)
            piece = file.readlines(_PIECE)
            position = file.tell()
        if not piece:
            return
        for line in piece:
            yield line.decode("utf-8", errors="replace")
