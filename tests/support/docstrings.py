"""Descriptions of parameters in docstrings, in numpydoc's form, beside the signatures."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.support.source import nodes_of

#: From so many arguments on, a public function documents them.
MANY = 3

#: Decorators of functions that are described by what the decorator is given, by another definition, or by their name.
#: The options of a command describe its parameters; its docstring is the help that it prints.
DESCRIBING = {"command", "operation", "setter", "overload", "rule", "invariant", "initialize"}

#: How the summary of an adapter's function, or of a model's method, names the verb of the port that describes it.
_DESCRIBED_BY = re.compile(r", (?:as|for) `(\w+)\.(\w+)`")

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class PublicFunction:
    """A function or a method of a public class, as its source has it; `holder` is the class, or empty."""

    node: _Function
    holder: str = ""

    @property
    def name(self) -> str:
        """The name with its class."""
        return f"{self.holder}.{self.node.name}" if self.holder else self.node.name


def signature(node: _Function, is_method: bool) -> list[str]:
    """Names of a function's parameters, in order, with their stars and without the one that is bound."""
    arguments = node.args
    plain = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
    is_static = any(isinstance(each, ast.Name) and each.id == "staticmethod" for each in node.decorator_list)
    if is_method and not is_static:
        plain = plain[1:]
    variable = [f"*{arguments.vararg.arg}"] if arguments.vararg else []
    keywords = [f"**{arguments.kwarg.arg}"] if arguments.kwarg else []
    return [*plain, *variable, *(each.arg for each in arguments.kwonlyargs), *keywords]


def documented(docstring: str | None) -> list[str] | None:
    """Names under the headings Parameters and Other Parameters; None without such a heading."""
    lines = (docstring or "").splitlines()
    found: list[str] | None = None
    inside = False
    for line, below in zip(lines, [*lines, ""][1:], strict=False):
        if line and below and not below.strip("-") and not line.startswith((" ", "-")):
            inside = line in ("Parameters", "Other Parameters")
            found = found or [] if inside else found
        elif inside and found is not None and line.strip("- ") and not line.startswith(" "):
            found += [name.strip().replace("\\*", "*") for name in line.partition(" : ")[0].split(",")]
    return found


def public_functions(tree: ast.Module) -> Iterator[PublicFunction]:
    """Give the public functions of a module and the public methods of its public classes."""

    def of(body: list[ast.stmt], holder: str) -> Iterator[PublicFunction]:
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield from of(node.body, node.name)
            elif isinstance(node, _Function) and not node.name.startswith("_"):
                yield PublicFunction(node, holder)

    yield from of(tree.body, "")


def faults(tree: ast.Module, classes: Mapping[str, ast.ClassDef]) -> list[str]:
    """Say what the docstrings of a module's public functions lack, and what they name wrongly.

    Parameters
    ----------
    tree : ast.Module
    classes : mapping of str to ast.ClassDef
        Every class of the package by name, for what methods override.

    Returns
    -------
    list of str
        Line, name and fault of each function with one.
    """
    known = {**classes, **{node.name: node for node in nodes_of(tree) if isinstance(node, ast.ClassDef)}}
    found = []
    for function in public_functions(tree):
        docstring = ast.get_docstring(function.node)
        expected = signature(function.node, bool(function.holder))
        named = documented(docstring)
        place = f"{function.node.lineno}: {function.name}"
        if named is not None:
            if port := _port_of(function, known):
                found.append(f"{place} documents again what {port} does")
            if named != expected:
                found.append(f"{place} documents {named}, and takes {expected}")
        elif (docstring is None or len(expected) >= MANY) and not _is_described_elsewhere(function, known):
            lack = "docstring" if docstring is None else f"section on its {len(expected)} parameters"
            found.append(f"{place} has no {lack}")
    return found


def _is_described_elsewhere(function: PublicFunction, classes: Mapping[str, ast.ClassDef]) -> bool:
    """Tell whether a decorator has the description, a test's name is it, or a base class of ours has it."""
    if (
        function.node.name.startswith("test_")
        or _port_of(function, classes)
        or any(_name_of(each) in DESCRIBING for each in function.node.decorator_list)
    ):
        return True
    waiting, seen = [function.holder], {function.holder}
    while waiting:
        holder = classes.get(waiting.pop())
        if holder is not None and holder.name != function.holder and _documents(holder, function.node.name):
            return True
        bases = {_name_of(base) for base in holder.bases} - seen if holder is not None else set()
        waiting += bases
        seen |= bases
    return False


def _port_of(function: PublicFunction, classes: Mapping[str, ast.ClassDef]) -> str:
    """Name the documented method that a function's summary says that it is for; empty without one."""
    summary = (ast.get_docstring(function.node) or "").partition("\n")[0]
    match = _DESCRIBED_BY.search(summary)
    if match is None or match[1] not in classes or not _documents(classes[match[1]], match[2]):
        return ""
    return f"{match[1]}.{match[2]}"


def _documents(holder: ast.ClassDef, name: str) -> bool:
    """Tell whether a class has a method of this name with a docstring."""
    return any(
        isinstance(member, _Function) and member.name == name and ast.get_docstring(member) is not None
        for member in holder.body
    )


def _name_of(expression: ast.expr) -> str:
    """Give the last name of a base class or a decorator, without its module, parameters and arguments."""
    match expression:
        case ast.Subscript(value=inner) | ast.Call(func=inner):
            return _name_of(inner)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""
