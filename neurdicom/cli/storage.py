"""Shared parts of the commands that change documents of the catalog, also while the server runs: users and nodes."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

import click

from neurdicom.catalog.documents import Documents
from neurdicom.cli.options import config_option, settings_from, value_completion
from neurdicom.config import Settings, log_ignored_variables
from neurdicom.data_folder import make_data_folder, require_data_folder

ResultT = TypeVar("ResultT")
GroupT = TypeVar("GroupT", bound=Callable[..., Any])


def catalog_options(group: GroupT) -> GroupT:
    """Add the options that choose the catalog to a command group; its function receives them as `**options`."""
    options = (
        click.option(
            "--data",
            metavar="DATA",
            help="Data folder of the server.  [default: neurdicom-data]",
            shell_complete=value_completion({}, is_folder=True),
        ),
        click.option("--mongodb-uri", metavar="MONGODB_URI", help="MongoDB of the server, if it uses one."),
        click.option(
            "--create", is_flag=True, help="Make the data folder if there is none, before the server's first start."
        ),
    )
    for option in reversed(options):
        group = option(group)
    return config_option(group)


def pass_settings(command: Callable[..., ResultT]) -> Callable[..., ResultT]:
    """Pass the settings to a command of such a group as its first argument; its `--help` needs no data folder."""

    @click.pass_obj
    @wraps(command)
    def run(options: dict[str, Any], /, **given: Any) -> ResultT:
        return command(settings_of(options), **given)

    return run


def settings_of(options: dict[str, Any]) -> Settings:
    """Load the settings that `catalog_options` give. Raises `Invalid`, also if the folder is not a data folder."""
    create = options.pop("create")
    settings = settings_from(options.pop("config"), options)
    log_ignored_variables()
    if create:
        make_data_folder(settings.data)
    elif not settings.mongodb_uri:
        require_data_folder(settings.data)
    return settings


def run_with_documents(settings: Settings, work: Callable[[Documents], Awaitable[ResultT]]) -> ResultT:
    """Open the catalog's documents, run some work with them, and return its result."""

    async def run() -> ResultT:
        from neurdicom.app.backends import make_catalog  # imports the catalog, which would delay `--help`

        catalog = make_catalog(settings)
        try:
            await catalog.open()
            return await work(catalog.documents)
        finally:
            await catalog.close()

    return asyncio.run(run())


def ask_secret(what: str, *, confirm: bool = False) -> str:
    """Prompt for a secret at a terminal, or read it from standard input."""
    if sys.stdin.isatty():
        secret: str = click.prompt(what, hide_input=True, confirmation_prompt=confirm)
        return secret
    return sys.stdin.readline().rstrip("\r\n")
