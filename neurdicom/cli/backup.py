"""The commands `neurdicom backup` and `restore`."""

import asyncio
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from neurdicom.cli.options import setting_options, settings_from
from neurdicom.config import log_ignored_variables
from neurdicom.data_folder import require_data_folder
from neurdicom.errors import Invalid

#: Settings that a backup uses.
USED_BY_BACKUP = ("data", "mongodb_uri")

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("dest", type=_FOLDER)
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    metavar="N",
    help="Then delete all but the N latest backups.",
)
@click.option("--verify", is_flag=True, help="Make no backup: compare all files of those in DEST with their SHA-256.")
@partial(setting_options, shown=USED_BY_BACKUP)
def backup(dest: Path, keep: int | None, verify: bool, config: Path | None, **given: Any) -> None:
    """Back up a data folder into DEST, while the server runs or is stopped.

    A backup has the catalog with users and edits, the files with those in the trash and earlier versions, plugins and
    models, and the settings file of --config.
    DEST may hold many: only files that are new since the last one are copied. A file that is missing or damaged is
    named, the others are backed up, and the exit status is 1. Run it as the server's user. All options of
    `neurdicom serve` are accepted, so that its command line can be used; those below are used.
    """
    from neurdicom.app import backup as backups

    if verify:
        if keep is not None:
            raise Invalid("--verify makes no backup and deletes none; give --keep without it")
        with show_progress("checked") as progress:
            checked = asyncio.run(backups.verify(dest, progress))
        click.echo(f"{checked.backups} backups, {checked.files} files: {len(checked.damaged)} missing or damaged")
        _name_damaged(checked.damaged)
        return
    settings = settings_from(config, given)
    log_ignored_variables()
    require_data_folder(settings.data)
    with show_progress("backed up") as progress:
        report = asyncio.run(backups.back_up(settings, config, dest, keep=keep, progress=progress))
    in_trash = f" and {report.set_aside} in the trash ({_size(report.set_aside_bytes)})" if report.set_aside else ""
    click.echo(
        f"backup {report.name}: {report.files} files ({_size(report.bytes)}){in_trash}, {report.new_files} of them new "
        f"({_size(report.new_bytes)})"
    )
    if settings.mongodb_uri:
        click.echo(
            "The catalog is in MongoDB and no part of this backup: copy it with `mongodump`, before the files.",
            err=True,
        )
    _name_damaged(report.damaged)


@click.command()
@click.argument("src", type=_FOLDER)
@click.option(
    "--data", type=_FOLDER, required=True, metavar="NEW", help="The new data folder; empty, or not there yet."
)
@click.option(
    "--at",
    metavar="TIME",
    help="Restore the latest backup that is not later, such as 2026-11-30T12:00 (UTC unless it names an offset), or a "
    "backup's name.  [default: the latest]",
)
def restore(src: Path, data: Path, at: str | None) -> None:
    """Restore a backup of SRC, the folder of `neurdicom backup`, into a new data folder.

    Every file is compared with its SHA-256. One that is missing or damaged is named and left out, and the exit status
    is 1; a catalog that is damaged ends the command. Until all is there, no server starts in the folder.
    """
    from neurdicom.app import backup as backups

    with show_progress("restored") as progress:
        report = asyncio.run(backups.restore(src, data.absolute(), at=_time(at), progress=progress))
    in_trash = f" and {report.set_aside} in the trash" if report.set_aside else ""
    click.echo(f"restored backup {report.name} into {data}: {report.files} files{in_trash}")
    if not report.has_catalog:
        click.echo(
            "The backup has no catalog: bring it back with `mongorestore`, then run `neurdicom reindex`.",
            err=True,
        )
    _name_damaged(report.damaged)


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Invalid(f"--at is {text!r}; a time such as 2026-11-30T12:00 is expected") from None


def _name_damaged(damaged: Collection[str]) -> None:
    """Name what is missing or damaged, and end with exit status 1 if anything is."""
    for text in damaged:
        click.echo(text, err=True)
    if damaged:
        click.get_current_context().exit(1)


def _size(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"


@contextmanager
def show_progress(text: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show the number of files on standard error, if it is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
