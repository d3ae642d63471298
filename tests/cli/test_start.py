"""Costs of starting a command, the help of commands, and the completion of a shell."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete

from neurdicom.archive.selection import MANY
from neurdicom.cli import options
from neurdicom.cli.main import COMMANDS, main
from neurdicom.processing.run import FORMATS

#: What brings the server, the pixels or the network.
HEAVY = {"tornado", "numpy", "pydicom", "pynetdicom", "httpx", "jsonschema", "rich", "sqlite3"}

#: Groups and commands, each with `--help`.
HELPS = [[], *([name] for name in COMMANDS), ["plugin", "check"], ["plugin", "install"], ["model", "check"]]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "neurdicom", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def test_no_help_brings_the_server() -> None:
    script = f"""
import json, sys
from click.testing import CliRunner
from neurdicom.cli.main import main
found = {{}}
for arguments in [["--version"], *([*each, "--help"] for each in {HELPS!r})]:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, (arguments, result.output)
    found[" ".join(arguments)] = sorted({HEAVY!r} & sys.modules.keys())
print(json.dumps(found))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert {name for name, brought in json.loads(done.stdout).items() if brought} == set(), done.stdout


@pytest.mark.parametrize("group", ["user", "node"])
def test_commands_on_the_catalog_do_not_bring_the_server(tmp_path: Path, group: str) -> None:
    script = f"""
import sys
from click.testing import CliRunner
from neurdicom.cli.main import main
result = CliRunner().invoke(main, [{group!r}, "--data", {str(tmp_path / "data")!r}, "--create", "list"])
print(result.exit_code, *sorted(({HEAVY!r} | {{"neurdicom.app.server"}}) & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "0 sqlite3\n"


def test_the_list_of_commands_fits_them() -> None:
    context = click.Context(main)
    for name, (_, line) in COMMANDS.items():
        command = main.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.help is not None
        assert command.help.replace("\n", " ").startswith(line.rstrip(".")), name


def test_every_option_has_a_help_with_a_noun() -> None:
    def options_of(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
        for each in command.params:
            if isinstance(each, click.Option) and not each.hidden:
                yield f"{name} {each.opts[0]}", each.help or ""
        if isinstance(command, click.Group):
            for part in command.list_commands(context):
                found = command.get_command(context, part)
                assert found is not None
                yield from options_of(found, f"{name} {part}")

    context = click.Context(main)
    unhelpful = {name: text for name, text in options_of(main, "neurdicom") if text.split(" ")[0] in ("", "Of", "For")}
    assert unhelpful == {}


def test_choices_are_those_of_the_server() -> None:
    assert list(MANY) == list(options.LEVELS)
    assert options.FORMATS == FORMATS


def test_reindex_shows_what_it_uses() -> None:
    shown = run("reindex", "--help").stdout
    assert "--data" in shown and "--mongodb-uri" in shown
    assert "--plugin-timeout" not in shown
    assert "--plugin-timeout" in run("check-config", "--help").stdout
    assert "--log-level [debug|info|warning|error]" in run("reindex", "--help").stdout


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion(shell: str) -> None:
    """Print the shell's script, and complete words by the command, as docs/commands.md says."""

    def printed(kind: str, words: str, count: int) -> str:
        environment = os.environ | {"_NEURDICOM_COMPLETE": f"{shell}_{kind}", "COMP_WORDS": words}
        script = "from neurdicom.cli.main import main; main(prog_name='neurdicom')"
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=environment | {"COMP_CWORD": str(count)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    assert "_NEURDICOM_COMPLETE" in printed("source", "", 0)
    assert "check-config" in printed("complete", "neurdicom che", 1)
    assert "check" in printed("complete", "neurdicom plugin ch", 2)
    assert "--server" in printed("complete", "neurdicom process --se", 2)


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("serve --log-level ", ["debug", "info", "warning", "error"]),
        ("reindex --log-format j", ["json"]),
        ("check-config --dimse-accept ", ["known", "any"]),
        ("serve --ae-title NEUR", []),
        ("plugin new x --language p", ["python"]),
        ("serve --data fol", ["dir: fol"]),
        ("user --data fol", ["dir: fol"]),
        ("serve --dask-tls-ca fol", ["file: fol"]),
        ("serve --config fol", ["file: fol"]),
    ],
)
def test_completion_of_values(typed: str, completed: list[str]) -> None:
    *words, incomplete = typed.split(" ")
    found = BashComplete(main, {}, "neurdicom", "_NEURDICOM_COMPLETE").get_completions(words, incomplete)
    assert [each.value if each.type == "plain" else f"{each.type}: {each.value}" for each in found] == completed


def test_completion_in_bash() -> None:
    """The line for ~/.bashrc, and what bash calls when somebody presses the tab key."""
    script = (
        'eval "$(_NEURDICOM_COMPLETE=bash_source neurdicom)"; COMP_WORDS=(neurdicom plu); COMP_CWORD=1; '
        '_neurdicom_completion neurdicom plu neurdicom; echo "${COMPREPLY[@]}"'
    )
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "plugin\n"
