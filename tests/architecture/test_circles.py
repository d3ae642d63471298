"""Imports in circles, of which there are none: not in functions, for type checking, or by way of packages."""

import ast
from collections.abc import Iterable, Mapping

from tests.support.source import PACKAGE, graph, imports_in


def circles(edges: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Strongly connected parts of a graph with more than one member (Tarjan's algorithm)."""
    found: list[list[str]] = []
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []

    def visit(node: str) -> None:
        index[node] = lowest[node] = len(index)
        stack.append(node)
        for other in edges.get(node, ()):
            if other not in index:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in stack:
                lowest[node] = min(lowest[node], index[other])
        if lowest[node] == index[node]:
            part = stack[stack.index(node) :]
            del stack[-len(part) :]
            if len(part) > 1:
                found.append(sorted(part))

    for node in edges:
        if node not in index:
            visit(node)
    return found


def folder_of(module: str) -> str:
    """The part and, where there is one, the sub-package that a module lies in."""
    return ".".join(module.split(".")[:2]) if module.count(".") > 1 else ""


def test_what_a_circle_is() -> None:
    assert circles({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]}) == [["a", "b", "c"]]
    assert circles({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}) == []


def test_imports_in_functions_and_by_name_count() -> None:
    source = "def run():\n    from a.b import c\n    importlib.import_module('a.d')\n    import_module(given)"
    assert imports_in(ast.parse(source), PACKAGE) == {"a.b.c": 2, "a.d": 3}


def test_a_package_runs_before_what_lies_in_it() -> None:
    assert {"jobs", "jobs.job"} <= graph()["processing.run_cache"]
    assert "jobs" not in graph()["jobs.service"]


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert circles(graph()) == []


def test_no_circles_between_the_folders_of_a_part() -> None:
    folders: dict[str, set[str]] = {}
    for module, imported in graph().items():
        for other in imported:
            one, two = folder_of(module), folder_of(other)
            if one and two and one != two:
                folders.setdefault(one, set()).add(two)
    assert circles(folders) == []
