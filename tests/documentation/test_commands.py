"""Every command that a page, a message, a template or an example names is one that the command line takes."""

import ast
import re
import shlex
from collections.abc import Iterator

import click
import pytest

from neurdicom.cli.main import main
from tests.support.checkout import CHECKOUT
from tests.support.source import nodes_of, tree_of

PACKAGE = CHECKOUT / "neurdicom"

#: Pages, in which code blocks hold whole commands and text names them.
PAGES = [*CHECKOUT.glob("docs/**/*.md"), *CHECKOUT.glob("*.md")]
#: Files of which each line may be a command: templates, examples, and what builds them.
SCRIPTS = [
    path
    for pattern in (
        "Makefile",
        "deploy/*.service",
        "plugins/**/*",
        "native_examples/**/*",
        "neurdicom/plugins/devtools/templates/**/*",
        "neurdicom/plugins/devtools/cmake/*",
    )
    for path in CHECKOUT.glob(pattern)
    if path.is_file() and "build" not in path.parts and path.suffix not in (".so", ".pyc", ".zip", ".o", ".onnx")
]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]*(?:\n[^`\n]*)?)`")
_HTML = re.compile(r"<code>([^<]*)</code>")
_OPERATORS = re.compile(r"[|;&<>()`]+|\d?>&?\d?")

#: Programs whose arguments may be called neurdicom: an image, a container, a unit, a user.
_NAMESAKES = {"docker", "systemctl", "journalctl", "useradd", "install", "chown", "cp", "mkdir", "find_program"}


def commands_of(line: str) -> Iterator[list[str]]:
    """Arguments of each `neurdicom` on a line of a shell or a make file, those inside quoted scripts too."""
    line = (
        line.strip()
        .lstrip("#@-/ ")
        .replace("$(NEURDICOM)", "neurdicom")
        .replace("${NEURDICOM_EXECUTABLE}", "neurdicom")
    )
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.wordchars += "$%{}+,:=@[]…"
    try:
        words = list(lexer)
    except ValueError:  # prose with an apostrophe
        return
    for word in words:
        if " " in word and "neurdicom " in word:
            yield from commands_of(word)
    first = next((word for word in words if word != "sudo"), "")
    for at, word in enumerate(words):
        is_ours = word == "neurdicom" or word.endswith("bin/neurdicom")
        following = words[at + 1 :]
        if not is_ours or not following or following[0].endswith("bin/neurdicom"):
            continue
        if first in _NAMESAKES and words[at - 1] != "neurdicom":
            continue
        if following[0] == "neurdicom":
            continue
        end = next(
            (n for n, each in enumerate(following) if each == "DEPENDS" or _OPERATORS.fullmatch(each)), len(following)
        )
        yield following[:end]


def whole_commands() -> Iterator[tuple[str, list[str]]]:
    """Commands that can be typed as they stand."""
    for page in PAGES:
        for language, block in _FENCE.findall(page.read_text(encoding="utf-8")):
            if language in ("sh", "bash", "console"):
                for line in block.replace("\\\n", " ").splitlines():
                    yield from (
                        (str(page.relative_to(CHECKOUT)), each) for each in commands_of(line.partition(" # ")[0])
                    )


def named_commands() -> Iterator[tuple[str, list[str]]]:
    """Commands that are named, perhaps without their arguments."""
    texts = [(page, _FENCE.sub("", page.read_text(encoding="utf-8"))) for page in PAGES]
    for path in PACKAGE.rglob("*.py"):
        for node in nodes_of(tree_of(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append((path, node.value))
            elif isinstance(node, ast.JoinedStr):  # what is filled in stands for any word
                parts = [each.value if isinstance(each, ast.Constant) else "X" for each in node.values]
                texts.append((path, "".join(map(str, parts))))
    texts += [(path, path.read_text(encoding="utf-8")) for path in PACKAGE.glob("http/static/*.html")]
    for path, text in texts:
        for pattern in (_INLINE, _HTML):
            for found in pattern.findall(text):
                yield from ((str(path.relative_to(CHECKOUT)), each) for each in commands_of(" ".join(found.split())))
    for path in SCRIPTS:
        for line in path.read_text(encoding="utf-8").splitlines():
            yield from ((str(path.relative_to(CHECKOUT)), each) for each in commands_of(line))


def problem_of(arguments: list[str], *, whole: bool) -> str | None:
    """Return the command line's objection to a command, None if it would run it."""
    arguments = [each for each in arguments if each not in ("...", "…")]
    command: click.Command = main
    context = click.Context(main, info_name="neurdicom")
    try:
        while isinstance(command, click.Group):
            _, arguments, _ = command.make_parser(context).parse_args(arguments)
            if not arguments:
                return "a command is missing" if whole and not command.invoke_without_command else None
            if arguments[0].isupper():
                return None
            found = command.get_command(context, arguments[0])
            if found is None:
                return f"there is no command {arguments[0]!r}"
            command, arguments = found, arguments[1:]
        context = click.Context(command, info_name=command.name, parent=context)
        given, left, _ = command.make_parser(context).parse_args([*arguments])
    except click.UsageError as error:
        return error.format_message()
    if left:
        return f"unexpected {left}"
    for each in command.params:
        value = given.get(each.name or "")
        if isinstance(each, click.Argument) and each.required and not isinstance(value, str | list | tuple) and whole:
            return "" if "--help" in arguments else f"{each.name} is missing"
        choices = each.type.choices if isinstance(each.type, click.Choice) else None
        if choices is not None and isinstance(value, str) and not value.isupper() and value not in choices:
            return f"{value!r} is none of {list(choices)}"
    return None


def test_what_a_command_is() -> None:
    assert list(commands_of("TOKEN=$(neurdicom user --data d token a@b) x | neurdicom login > log 2>&1")) == [
        ["user", "--data", "d", "token", "a@b"],
        ["login"],
    ]
    assert list(commands_of("docker run -v neurdicom:/data neurdicom")) == []
    assert list(commands_of("docker exec neurdicom sh -c 'neurdicom logout'")) == [["logout"]]
    assert list(commands_of("sudo -u neurdicom /opt/neurdicom/bin/neurdicom logout")) == [["logout"]]
    for wrong in ("sorve", "serve --prot 1", "user addd x", "plugin check", "plugin new x --language rust", "logout x"):
        assert problem_of(wrong.split(), whole=True), wrong
    for right in ("serve --port 1", "user --create add x --admin", "plugin check x", "COMMAND --help", "plugin ..."):
        assert problem_of(right.split(), whole=False) is None, right


@pytest.mark.parametrize("whole", [True, False], ids=["in code blocks", "named in text"])
def test_every_command_that_is_named_works(whole: bool) -> None:
    found = list(whole_commands() if whole else named_commands())
    assert len(found) > 30, "the commands are not found any more"
    wrong = {(place, " ".join(each)): told for place, each in found if (told := problem_of(each, whole=whole))}
    assert wrong == {}


def test_curl_as_the_supported_distributions_have_it() -> None:
    """RHEL 9 has 7.76; `--json` came with 7.82."""
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
            assert not re.search(r"\bcurl\b.*\s--(json|url-query|variable|ca-native)\b", line), (page.name, line)
