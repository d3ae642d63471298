"""Names have none of the words that were given up: patterns go by their own names, what is serialised by three."""

import ast
import re
from collections.abc import Iterator, Set
from functools import cache
from pathlib import Path

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.source import MODULES, nodes_of, tree_of

#: Words of names, in the singular and in small letters, with what says it better.
GIVEN_UP = {
    "keeper": "WriteBehindQueue, or the pattern that it is",
    "shelf": "files, or the store that it is",
    "nursery": "ForkServerClient",
    "door": "DimseBackend, or the port that it is",
    "witness": "observer",
    "lane": "queue, class or order",
    "turn": "permit of a semaphore, position in a queue",
    "asked": "requested",
    "told": "summary, reported",
    "settled": "finished",
    "heed": "follow, apply",
}

#: Names of methods, with what says it better.
SERIALISING = dict.fromkeys(
    ("as_answer", "as_arguments", "as_dict", "as_document", "as_json", "to_dict", "to_json"),
    "to_api, to_document or to_wire",
)

SOURCES = [
    *MODULES,
    *CHECKOUT.glob("tests/**/*.py"),
    *CHECKOUT.glob("benchmarks/*.py"),
    *CHECKOUT.glob("plugins/*/*.py"),
]


def names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Lines and names of a module's classes, their fields, functions and parameters; those of tests are sentences."""
    for node in nodes_of(tree):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef() if not node.name.startswith("test_"):
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
                    yield member.lineno, member.target.id


def methods(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Lines and names of the methods of a module's classes."""
    for node in nodes_of(tree):
        if isinstance(node, ast.ClassDef):
            yield from (
                (each.lineno, each.name)
                for each in node.body
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            )


@cache
def words(name: str) -> Set[str]:
    """The words of a name in small letters, nouns and verbs without the `s` at their end."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return {part.lower() for part in parts} | {part.lower().removesuffix("s") for part in parts}


def given_up(source: str | ast.Module) -> list[str]:
    """List the names in a module that have a better word."""
    tree = ast.parse(source) if isinstance(source, str) else source
    better = [(line, name, GIVEN_UP[word]) for line, name in names(tree) for word in words(name) & GIVEN_UP.keys()]
    better += [(line, name, SERIALISING[name]) for line, name in methods(tree) if name in SERIALISING]
    return [f"{line}: {name}: better {other}" for line, name, other in sorted(better)]


def test_no_name_has_a_word_that_was_given_up() -> None:
    found = {str(path.relative_to(CHECKOUT)): given_up(tree_of(path)) for path in SOURCES}
    assert {name: those for name, those in found.items() if those} == {}


def test_no_module_has_one_either() -> None:
    parts = {part for path in SOURCES for part in path.relative_to(CHECKOUT).with_suffix("").parts}
    assert {part for part in parts if words(part.removeprefix("test_")) & GIVEN_UP.keys()} == set()


@pytest.mark.parametrize(
    "source",
    [
        "class ResultKeeper: ...",
        "class Lanes: ...",
        "class HTTPDoor: ...",
        "def wait_turn(): ...",
        "async def heeds(): ...",
        "def read(told): ...",
        "def read(*, is_settled=False): ...",
        "lambda asked: 1",
        "class Job:\n    asked: int",
        "class Job:\n    def as_json(self): ...",
    ],
)
def test_a_word_that_was_given_up_is_found(source: str) -> None:
    assert len(given_up(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "class Plane: ...",
        "def to_api(): ...",
        "def returned(): ...",
        "told = 1",
        "class Outdoor: ...",
        "def to_json(value): ...",
        "def test_it_is_told(): ...",
    ],
)
def test_others_are_left_alone(source: str) -> None:
    assert given_up(source) == []


def test_the_name_of_a_module_counts(tmp_path: Path) -> None:
    assert words("write_shelf") & GIVEN_UP.keys() == {"shelf"}
