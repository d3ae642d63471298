"""Backups and restores by the command line, and what data folders have."""

import asyncio
import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from neurdicom.cli.main import main
from tests.support.archive import archive
from tests.support.files import dicom_file


def run(*arguments: object) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(main, [str(each) for each in arguments])


def back_up(data: Path, dest: Path, *options: object) -> Result:
    """Back up a data folder, which has to go well."""
    result = run("backup", dest, "--data", data, *options)
    assert result.exit_code == 0, result.output
    return result


def restored(dest: Path, data: Path, *options: object) -> Path:
    """Restore a backup into a new data folder, which has to go well; answers the folder."""
    result = run("restore", dest, "--data", data, *options)
    assert result.exit_code == 0, result.output
    return data


def fill(data: Path, *numbers: int) -> None:
    """Store instances of these numbers in a data folder."""

    async def add() -> None:
        async with archive(data) as stored:
            for number in numbers:
                await stored.add(dicom_file(number))

    asyncio.run(add())


def instances(data: Path) -> list[str]:
    """Ids in a data folder, whose files and catalog have to agree."""

    async def look() -> list[str]:
        async with archive(data) as stored:
            await stored.check()
            return await stored.instances()

    return asyncio.run(look())


def keys(data: Path) -> set[str]:
    """Keys of all files of instances, which may be deleted meanwhile."""
    folder = data / "blobs" / "objects"
    return {path.relative_to(folder).as_posix() for path in folder.glob("*/*")}


def blobs(data: Path) -> dict[str, str]:
    """SHA-256 of all files of instances, by their path."""
    folder = data / "blobs" / "objects"
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.glob("*/*")
    }


def sign(folder: Path, *, leave_out: Collection[str] = (), **changes: Any) -> None:
    """Make the manifest of a backup fit its list of files."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["sums"] = hashlib.sha256((folder / "SHA256SUMS").read_bytes()).hexdigest()
    signed = {name: value for name, value in (manifest | changes).items() if name not in leave_out}
    (folder / "manifest.json").write_text(json.dumps(signed), encoding="utf-8")


def latest(dest: Path) -> Path:
    """Folder of the latest backup, complete or not."""
    return sorted(dest.glob("2*Z"))[-1]
