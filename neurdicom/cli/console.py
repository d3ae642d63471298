"""How a command shows a job: as a bar, or as lines of JSON."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from neurdicom.cli.jobs import Event

#: Failures that are printed as they come.
_SHOWN = 20


class Show(ABC):
    """Shows a job for as long as the context lasts."""

    def __enter__(self) -> None:
        """Begin."""
        return

    def __exit__(self, *error: object) -> None:
        """End."""
        return

    @abstractmethod
    def take(self, event: Event) -> None:
        """Show what has happened."""

    @abstractmethod
    def note(self, text: str) -> None:
        """Say something to whoever watches."""


class Lines(Show):
    """Shows a job as lines of JSON on standard output, for scripts."""

    def take(self, event: Event) -> None:
        """Print all but progress."""
        if event.type != "progress":
            click.echo(json.dumps({"event": event.type, **event.data}))

    def note(self, text: str) -> None:
        """Say something to whoever watches."""
        click.echo(text, err=True)


class Bar(Show):
    """Shows a job as a bar on standard error, and how it ended on standard output."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.fields[total_text]}"),
            TextColumn("{task.fields[pace]}"),
            console=Console(stderr=True),
        )
        self._task: TaskID | None = None
        self._failures = 0

    def __enter__(self) -> None:
        self._task = self._progress.add_task("waiting", total=None, total_text="?", pace="")
        self._progress.start()

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def take(self, event: Event) -> None:
        """Move the bar, or print a failure."""
        if event.type == "failure":
            self._failures += 1
            if self._failures <= _SHOWN:
                what = event.data.get("instance") or event.data.get("series")
                self._progress.console.print(f"{what}: {event.data['error']['detail']}", markup=False, highlight=False)
        elif event.type in ("progress", "end"):
            self._move(event.data)
        if event.type == "end":
            job = event.data
            self._progress.stop()
            if job["failed"] > self._failures:  # as a whole, not item by item
                click.echo("\n".join(str(one["reason"]) for one in job["errors"][:_SHOWN]), err=True)
            skipped = sum(job["results"].get("skipped", {}).values())
            left_out = f", {skipped} left out" if skipped else ""
            click.echo(f"{job['state']}: {job['done']} done, {job['failed']} failed{left_out} (job {job['id']})")

    def note(self, text: str) -> None:
        """Say something to whoever watches."""
        self._progress.console.print(text, markup=False)

    def _move(self, job: Mapping[str, Any]) -> None:
        assert self._task is not None
        pace = "" if not job["rate"] else f"{job['rate']:g}/s"
        if job["time_left"] is not None:
            minutes, seconds = divmod(round(job["time_left"]), 60)
            pace += f", {minutes}:{seconds:02} left"
        self._progress.update(
            self._task,
            description=job["state"],
            total=job["total"],
            completed=job["done"] + job["failed"],
            total_text="?" if job["total"] is None else str(job["total"]),
            pace=pace,
        )
