"""Shared by commands that change documents of the catalog themselves, also while the server runs: users and nodes."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from neurdicom.catalog.documents import Documents
from neurdicom.config import Settings, load_settings

ResultT = TypeVar("ResultT")
GroupT = TypeVar("GroupT", bound=Callable[..., Any])


def catalog_options(group: GroupT) -> GroupT:
    """Give a group the options that tell which catalog its commands are for; it takes them as `**options`."""
    options = (
        click.option("--config", type=click.Path(dir_okay=False, path_type=Path), envvar="NEURDICOM_CONFIG"),
        click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Data folder of the server."),
        click.option("--mongodb-uri", help="The server's MongoDB, where it has one."),
    )
    for option in reversed(options):
        group = option(group)
    return group


def settings_of(options: dict[str, Any]) -> Settings:
    """Load the settings that `catalog_options` name. Raises `Invalid`."""
    return load_settings(options.pop("config"), **options)


def run_with_documents(settings: Settings, work: Callable[[Documents], Awaitable[ResultT]]) -> ResultT:
    """Open the catalog's documents for some work; answers its result."""

    async def run() -> ResultT:
        from neurdicom.app import make_catalog  # brings the whole server, which `--help` need not wait for

        if not settings.mongodb_uri:
            settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        catalog = make_catalog(settings)
        try:
            await catalog.open()
            return await work(catalog.documents)
        finally:
            await catalog.close()

    return asyncio.run(run())


def ask_secret(what: str, *, confirm: bool = False) -> str:
    """Ask for a secret at a terminal, or read it from standard input."""
    if sys.stdin.isatty():
        secret: str = click.prompt(what, hide_input=True, confirmation_prompt=confirm)
        return secret
    return sys.stdin.readline().rstrip("\r\n")
